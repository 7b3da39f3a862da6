#include "load/reporter.h"

#include <algorithm>

namespace mortise::load {

Reporter::Reporter(const Progress& progress, const Origin& origin, const Ledger& ledger)
    : progress_(progress), ledger_(ledger) {
    std::vector<bool> dropped(origin.catalog.size());
    for (const plan::Drop& drop : origin.plan.drops) dropped[drop.tensor] = true;
    for (size_t i = 0; i < dropped.size(); ++i)
        if (!dropped[i]) total_ += origin.catalog.tensors()[i].bytes;
}

void Reporter::tick() {
    constexpr std::chrono::milliseconds interval{100};
    if (!progress_ || std::this_thread::get_id() != owner_ || Clock::now() - last_ < interval) return;
    last_ = Clock::now();
    progress_(std::min(ledger_.reader.bytes_read(), total_), total_);
}

void Reporter::done() const {
    if (progress_) progress_(total_, total_);
}

}  // namespace mortise::load
