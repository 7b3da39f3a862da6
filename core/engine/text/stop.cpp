#include "engine/text/stop.h"

#include <algorithm>
#include <utility>

namespace mortise::text {

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
    std::erase(stops_, "");
    std::stable_sort(stops_.begin(), stops_.end(), [](auto& a, auto& b) { return a.size() > b.size(); });
}

std::string StopStrings::push(std::string_view text) {
    if (stopped_) return "";
    std::string all = std::exchange(held_, {}).append(text);
    size_t end = std::string::npos;
    const std::string* first = nullptr;
    for (const std::string& stop : stops_) {  // longest first: of two that end together the earlier begin
        const size_t at = all.find(stop);
        if (at == std::string::npos || at + stop.size() >= end) continue;
        end = at + stop.size();
        first = &stop;
    }
    if (first) {
        stopped_ = true;
        matched_ = *first;
        all.resize(end - first->size());
        return all;
    }
    size_t hold = 0;
    for (const std::string& stop : stops_)
        for (size_t n = std::min(stop.size() - 1, all.size()); n > hold; --n)
            if (std::string_view(all).ends_with(std::string_view(stop).substr(0, n))) hold = n;
    held_ = all.substr(all.size() - hold);
    all.resize(all.size() - hold);
    return all;
}

std::string StopStrings::flush() { return std::exchange(held_, {}); }

StopTokens::StopTokens(std::vector<uint32_t> ids) : ids_(std::move(ids)) {
    std::sort(ids_.begin(), ids_.end());
    ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
}

bool StopTokens::contains(uint32_t id) const { return std::binary_search(ids_.begin(), ids_.end(), id); }

}  // namespace mortise::text
