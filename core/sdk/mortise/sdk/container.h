// Writing a container: a class with two static functions, registered with container_entry<T>("id", "space"):
//
//   struct Zip {
//       static bool probe(std::string_view file_name, std::string_view first_bytes);  // up to 64 bytes
//       static void open(const Source& source, Sink& sink);  // emits every tensor and file, or throws
//   };
//
// Names of tensors live in the container's name space; architectures list aliases for it. One thread.
#pragma once

#include <bit>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "mortise/sdk/plugin.h"

namespace mortise::sdk {

static_assert(std::endian::native == std::endian::little, "files are read as little-endian");

// Codes of the host's table that say what is wrong with a container.
namespace code {
inline constexpr uint32_t text = 2004, value = 2005, offsets = 2006, overflow = 2007, bytes = 2009,
                          cut_short = 2010, twice = 2011, container = 5004;
}

// The one file. Reads are bounded by its real size.
class Source {
  public:
    explicit Source(const mortise_source& source) : source_(source) {}

    std::string name() const { return std::string(view(source_.name)); }
    uint64_t size() const { return source_.size; }
    // Errors: the range lies outside the file; I/O.
    void read(uint64_t offset, uint64_t bytes, void* out) const {
        check(source_.read(source_.context, offset, bytes, out));
    }

  private:
    const mortise_source& source_;
};

// Reads a source from front to back, little-endian, through a buffer. Every length is checked against what is
// left of the file before memory is taken for it.
class Reader {
  public:
    // Effect: reads at most `limit` bytes in all; what lies behind is refused like the end of the file.
    explicit Reader(const Source& source, uint64_t limit = UINT64_MAX)
        : source_(source), end_(std::min(source.size(), limit)) {}

    uint64_t position() const { return position_; }
    uint64_t left() const { return end_ - position_; }

    // `what` is read, for messages. Errors: Refused when the file ends before.
    void bytes(void* out, uint64_t count, std::string_view what) {
        need(count, what);
        auto* to = static_cast<char*>(out);
        while (count > 0) {
            if (position_ < buffer_at_ || position_ >= buffer_at_ + buffer_.size()) refill();
            const uint64_t from = position_ - buffer_at_,
                           step = std::min<uint64_t>(count, buffer_.size() - from);
            std::memcpy(to, buffer_.data() + from, step);
            to += step;
            position_ += step;
            count -= step;
        }
    }
    template <class T>
    T number(std::string_view what) {
        static_assert(std::is_arithmetic_v<T>);
        T out;
        bytes(&out, sizeof out, what);
        return out;
    }
    std::string text(uint64_t count, std::string_view what) {
        need(count, what);
        std::string out(count, '\0');
        bytes(out.data(), count, what);
        return out;
    }
    // Effect: nothing. Errors: Refused unless `count` items of at least `each` bytes can still follow.
    void need(uint64_t count, std::string_view what, uint64_t each = 1) const {
        if (count <= left() / each) return;
        throw Refused({.what = "the file ends inside " + std::string(what),
                       .expected = std::to_string(count) + (each == 1 ? " bytes" : " items"),
                       .found = std::to_string(left()) + " bytes left",
                       .fix = "fetch the file again: it is cut short or damaged",
                       .code = code::cut_short});
    }

  private:
    void refill() {
        buffer_at_ = position_;
        buffer_.resize(std::min<uint64_t>(left(), uint64_t{1} << 16));
        source_.read(buffer_at_, buffer_.size(), buffer_.data());
    }

    const Source& source_;
    uint64_t end_, position_ = 0, buffer_at_ = 0;
    std::vector<char> buffer_;
};

// Where a container puts what it finds; everything is copied.
class Sink {
  public:
    explicit Sink(const mortise_container_sink& sink) : sink_(sink) {}

    // shape: slowest axis first; block encodings are U8 [rows][bytes per row] and named in `encoding`.
    void tensor(std::string_view name, uint32_t dtype, const std::vector<int64_t>& shape,
                std::string_view encoding, uint64_t offset, uint64_t bytes) {
        auto c = make<mortise_container_tensor>();
        c.name = str(name);
        c.dtype = dtype;
        c.rank = static_cast<uint32_t>(shape.size());
        c.shape = shape.data();
        c.encoding = str(encoding);
        c.offset = offset;
        c.bytes = bytes;
        sink_.tensor(sink_.context, &c);
    }
    // A file that the container carries inside. `origin` says where its facts come from, for messages.
    void file(std::string_view name, std::string_view bytes, std::string_view origin) {
        sink_.file(sink_.context, str(name), str(bytes), str(origin));
    }
    void metadata(std::string_view key, std::string_view value) {
        sink_.metadata(sink_.context, str(key), str(value));
    }

  private:
    const mortise_container_sink& sink_;
};

template <class T>
mortise_entry container_entry(const char* id, const char* name_space) {
    static mortise_container_v1 table = make<mortise_container_v1>();
    table.name_space = str(name_space);
    table.probe = [](mortise_str file_name, const void* first, uint64_t bytes) -> uint8_t {
        uint8_t mine = 0;
        (void)guard(
            [&] { mine = T::probe(view(file_name), {static_cast<const char*>(first), bytes}) ? 1 : 0; });
        return mine;
    };
    table.open = [](const mortise_source* source, const mortise_container_sink* sink) -> mortise_status {
        return guard([&] {
            Sink out(*sink);
            T::open(Source(*source), out);
        });
    };
    return entry_of(MORTISE_INTERFACE_CONTAINER, id, &table);
}

}  // namespace mortise::sdk
