#include "engine/text/stream_decoder.h"

#include "engine/text/unicode.h"

namespace mortise::text {
namespace {

// So many ids without a final character are no text; they are printed as they are, in linear time.
constexpr size_t waiting_limit = 256;

}  // namespace

Status StreamDecoder::start_printed() {
    if (!printed_.empty() || ids_.empty()) return {};
    MORTISE_TRY(auto text, tokenizer_.decode(ids_, skip_special_));
    if (text.ends_with(replacement_utf8)) return {};
    printed_ = std::move(text);
    printed_ids_ = ids_.size();
    return {};
}

Result<std::string> StreamDecoder::push(uint32_t id) {
    MORTISE_CHECK(start_printed());
    ids_.push_back(id);
    MORTISE_TRY(auto text, tokenizer_.decode(ids_, skip_special_));
    const bool final = text.size() > printed_.size() && !text.ends_with(replacement_utf8);
    if (!final && ids_.size() - printed_ids_ < waiting_limit) return std::string();
    std::string fresh;
    if (text.starts_with(printed_)) {
        fresh = text.substr(printed_.size());
    } else {
        // Byte tokens that behind the printed ones turned a whole run into no text: the new ones stand alone.
        MORTISE_TRY(fresh, tokenizer_.decode(std::span(ids_).subspan(printed_ids_), skip_special_));
    }
    const size_t waited = ids_.size() - printed_ids_;
    ids_.erase(ids_.begin(), ids_.begin() + static_cast<ptrdiff_t>(printed_ids_));
    MORTISE_TRY(printed_, tokenizer_.decode(ids_, skip_special_));
    printed_ids_ = waited;
    return fresh;
}

Result<std::string> StreamDecoder::flush() {
    MORTISE_TRY(auto text, tokenizer_.decode(ids_, skip_special_));
    std::string rest;
    if (text.starts_with(printed_)) {
        rest = text.substr(printed_.size());
    } else {
        MORTISE_TRY(rest, tokenizer_.decode(std::span(ids_).subspan(printed_ids_), skip_special_));
    }
    ids_.clear();
    printed_.clear();
    printed_ids_ = 0;
    return rest;
}

}  // namespace mortise::text
