// Header text to entries. Format: safetensors README, section "Format".
#include <limits>

#include "base/json.h"
#include "checkpoint/safetensors.h"

namespace mortise::checkpoint {
namespace {

using json::Event;
using Type = json::Event::Type;

// Consumes the events of one header: {name: {"dtype", "shape", "data_offsets"}, "__metadata__": {k: v}}.
class HeaderSink {
  public:
    HeaderSink(SafetensorsHeader& out, const std::string& file) : out_(out), file_(file) {}
    Status take(const Event& event);
    int depth() const { return depth_; }
    Problems& problems() { return problems_; }

  private:
    enum class Field : uint8_t { none, dtype, shape, offsets, other };

    Status at_root(const Event& event);
    Status at_top(const Event& event);
    Status in_metadata(const Event& event);
    Status in_entry(const Event& event);
    Status in_numbers(const Event& event);
    Status finish_entry();
    Status take_dtype(std::string_view name);
    std::unexpected<Error> bad(std::string what, std::string found = {}) const {
        return fail(Problem{.code = Code::header_json,
                            .what = std::move(what),
                            .file = file_,
                            .tensor = metadata_ ? "" : entry_.name,
                            .found = std::move(found)});
    }

    SafetensorsHeader& out_;
    const std::string& file_;
    Problems problems_;  // of single tensors: the rest is still read
    int depth_ = 0;      // open objects and arrays
    int skip_ = 0;       // depth at which an unknown field began; 0 = none
    bool metadata_ = false;
    Field field_ = Field::none;
    std::string metadata_key_;
    TensorEntry entry_;
    uint64_t end_ = 0;
    size_t offsets_ = 0;
    bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false, broken_ = false;
};

bool opens(Type type) { return type == Type::begin_object || type == Type::begin_array; }
bool closes(Type type) { return type == Type::end_object || type == Type::end_array; }

// depth_ is the number of containers around the event: 1 entries, 2 fields, 3 numbers.
Status HeaderSink::take(const Event& event) {
    if (closes(event.type)) --depth_;
    Status status;
    if (skip_ > 0) {
        if (closes(event.type) && depth_ == skip_) skip_ = 0;
    } else {
        switch (depth_) {
            case 0: status = at_root(event); break;
            case 1: status = closes(event.type) && !metadata_ ? finish_entry() : at_top(event); break;
            case 2: status = metadata_ ? in_metadata(event) : in_entry(event); break;
            default: status = in_numbers(event);
        }
    }
    if (opens(event.type)) ++depth_;
    return status;
}

Status HeaderSink::at_root(const Event& event) {
    if (event.type == Type::begin_object || event.type == Type::end_object) return {};
    return bad("header is no JSON object");
}

Status HeaderSink::at_top(const Event& event) {
    if (event.type == Type::end_object) return {};
    if (event.type == Type::key) {
        metadata_ = event.text == "__metadata__";
        entry_ = {};
        if (!metadata_) entry_.name = event.text;
        field_ = Field::none;
        offsets_ = 0;
        has_dtype_ = has_shape_ = has_offsets_ = broken_ = false;
        return {};
    }
    if (metadata_ && event.type == Type::null) return {};  // the reference reader takes it as absent
    if (event.type != Type::begin_object)
        return bad(metadata_ ? "metadata is no object" : "entry is no object");
    return {};
}

Status HeaderSink::in_metadata(const Event& event) {
    if (event.type == Type::key) {
        metadata_key_ = event.text;
        return {};
    }
    if (event.type != Type::string) return bad("metadata value of '" + metadata_key_ + "' is no string");
    out_.metadata.emplace(metadata_key_, event.text);
    return {};
}

Status HeaderSink::in_entry(const Event& event) {
    if (event.type == Type::end_array) {
        if (field_ == Field::offsets && offsets_ != 2) return bad("data_offsets has not two numbers");
        field_ = Field::none;
        return {};
    }
    if (event.type == Type::key) {
        field_ = event.text == "dtype"          ? Field::dtype
                 : event.text == "shape"        ? Field::shape
                 : event.text == "data_offsets" ? Field::offsets
                                                : Field::other;
        return {};
    }
    switch (field_) {
        case Field::dtype:
            if (event.type != Type::string) return bad("dtype is no string");
            return take_dtype(event.text);
        case Field::shape:
            has_shape_ = true;
            if (event.type != Type::begin_array) return bad("shape is no list");
            return {};
        case Field::offsets:
            has_offsets_ = true;
            if (event.type != Type::begin_array) return bad("data_offsets is no list");
            return {};
        default:  // an unknown field: the reference reader skips it
            if (opens(event.type)) skip_ = depth_;
            return {};
    }
}

Status HeaderSink::take_dtype(std::string_view name) {
    has_dtype_ = true;
    field_ = Field::none;
    if (auto dtype = parse_dtype(name)) {
        entry_.dtype = *dtype;
        return {};
    }
    broken_ = true;
    problems_.add(Problem{.code = Code::dtype_unsupported,
                          .what = "unknown element type",
                          .file = file_,
                          .tensor = entry_.name,
                          .found = json::quote(name.substr(0, 64))});
    return {};
}

Status HeaderSink::in_numbers(const Event& event) {
    bool shape = field_ == Field::shape;
    if (event.type != Type::integer || event.negative) {
        return bad(std::string(shape ? "shape" : "data_offsets") + " holds something that is no whole number",
                   std::string(event.text.substr(0, 64)));
    }
    uint64_t value = event.unsigned_value;
    if (!shape) {
        if (offsets_ == 0) entry_.offset = value;
        if (offsets_ == 1) end_ = value;
        ++offsets_;
        return {};
    }
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        broken_ = true;
        problems_.add(Problem{.code = Code::header_overflow,
                              .what = "shape is too large",
                              .file = file_,
                              .tensor = entry_.name,
                              .found = std::to_string(value)});
        return {};
    }
    entry_.shape.push_back(static_cast<int64_t>(value));
    return {};
}

Status HeaderSink::finish_entry() {
    const char* missing = !has_dtype_     ? "dtype"
                          : !has_shape_   ? "shape"
                          : !has_offsets_ ? "data_offsets"
                                          : nullptr;
    if (missing) return bad(std::string("entry has no ") + missing);
    if (broken_) return {};
    if (end_ < entry_.offset) {
        problems_.add(
            Problem{.code = Code::header_offsets,
                    .what = "byte range is reversed",
                    .file = file_,
                    .tensor = entry_.name,
                    .found = "[" + std::to_string(entry_.offset) + "," + std::to_string(end_) + "]"});
        return {};
    }
    entry_.bytes = end_ - entry_.offset;
    out_.tensors.push_back(std::move(entry_));
    return {};
}

}  // namespace

Result<SafetensorsHeader> parse_safetensors_header(std::string_view text, const std::string& name) {
    SafetensorsHeader header;
    HeaderSink sink(header, name);
    Status status = json::parse_events(text, name, [&](const Event& event) { return sink.take(event); });
    if (!status) {
        std::vector<Problem> list = status.error().problems();
        for (Problem& problem : list) {
            bool twice = problem.code == Code::json_duplicate_key;
            bool from_json = twice || problem.code == Code::json_invalid || problem.code == Code::json_limits;
            // Two entries of one name are two tensors; the reference reader would keep the last, silently.
            if (from_json)
                problem.code = twice && sink.depth() == 1 ? Code::duplicate_tensor : Code::header_json;
        }
        return std::unexpected(Error(std::move(list)));
    }
    MORTISE_CHECK(std::move(sink.problems()).status());
    return header;
}

}  // namespace mortise::checkpoint
