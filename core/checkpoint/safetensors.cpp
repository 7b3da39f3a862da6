// Checks of the reference reader, in its order, and stricter where it is silent (repeated names).
#include "checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "base/checked.h"
#include "base/text.h"

namespace mortise::checkpoint {
namespace {

constexpr size_t max_problems = 20;

Problem about(const std::string& name, Code code, std::string what) {
    return Problem{.code = code, .what = std::move(what), .file = name};
}

Result<std::string> read_header_text(const File& file, const std::string& name) {
    std::array<unsigned char, 8> prefix{};
    if (file.size() < prefix.size()) {
        Problem problem = about(name, Code::header_too_small, "file is shorter than a header");
        problem.found = std::to_string(file.size()) + " bytes";
        return fail(std::move(problem));
    }
    MORTISE_CHECK(file.read(0, std::as_writable_bytes(std::span(prefix))));
    uint64_t length = 0;
    for (size_t i = 8; i-- > 0;) length = length << 8 | prefix[i];
    if (length > max_safetensors_header) {
        Problem problem = about(name, Code::header_too_large, "header is too large");
        problem.expected = "at most " + std::to_string(max_safetensors_header) + " bytes";
        problem.found = std::to_string(length);
        if (std::memcmp(prefix.data(), "version ", 8) == 0) {
            problem.fix = "this is a Git LFS pointer: fetch the file itself (git lfs pull)";
        }
        return fail(std::move(problem));
    }
    if (length > file.size() - 8) {
        Problem problem = about(name, Code::header_length, "header runs past the end of the file");
        problem.expected = std::to_string(length) + " bytes";
        problem.found = std::to_string(file.size() - 8);
        problem.fix = "the file is truncated: fetch it again";
        return fail(std::move(problem));
    }
    std::string text(length, '\0');
    MORTISE_CHECK(file.read(8, std::as_writable_bytes(std::span(text.data(), text.size()))));
    size_t invalid = first_invalid_utf8(text);
    if (invalid != text.size()) {
        Problem problem = about(name, Code::header_utf8, "header is not UTF-8");
        problem.found = "byte " + std::to_string(invalid);
        return fail(std::move(problem));
    }
    return text;
}

// Data must be contiguous from 0 on: no hole, no overlap.
void check_offsets(const SafetensorsHeader& header, const std::string& name, Problems& problems) {
    uint64_t end = 0;
    for (const TensorEntry& entry : header.tensors) {
        if (entry.offset != end) {
            Problem problem = about(name, Code::header_offsets,
                                    entry.offset > end ? "hole before the data of this tensor"
                                                       : "data overlaps the tensor before");
            problem.tensor = entry.name;
            problem.expected = "begin at " + std::to_string(end);
            problem.found = std::to_string(entry.offset);
            problems.add(std::move(problem));
            return;  // everything after it would be displaced too
        }
        end = entry.offset + entry.bytes;
    }
}

void check_bytes(const TensorEntry& entry, const std::string& name, Problems& problems) {
    auto report = [&](Code code, std::string what) {
        Problem problem = about(name, code, std::move(what));
        problem.tensor = entry.name;
        problem.found = to_string(entry.dtype, entry.shape) + " in " + std::to_string(entry.bytes) + " bytes";
        problems.add(std::move(problem));
    };
    auto count = elements(entry.shape);
    auto total = count ? checked_mul(*count, static_cast<uint64_t>(bits(entry.dtype))) : std::nullopt;
    if (!total) {
        report(Code::header_overflow, "shape is too large");
    } else if (*total % 8 != 0) {
        report(Code::header_misaligned, "elements do not fill whole bytes");
    } else if (*total / 8 != entry.bytes) {
        report(Code::header_tensor_bytes, "byte range does not fit dtype and shape");
    }
}

}  // namespace

Result<SafetensorsHeader> read_safetensors_header(const File& file, const std::string& name) {
    MORTISE_TRY(std::string text, read_header_text(file, name));
    MORTISE_TRY(SafetensorsHeader header, parse_safetensors_header(text, name));
    auto earlier = [](const TensorEntry& a, const TensorEntry& b) {
        return std::tuple(a.offset, a.bytes) < std::tuple(b.offset, b.bytes);
    };
    if (!std::is_sorted(header.tensors.begin(), header.tensors.end(), earlier)) {
        std::stable_sort(header.tensors.begin(), header.tensors.end(), earlier);
    }
    Problems problems;
    check_offsets(header, name, problems);
    for (const TensorEntry& entry : header.tensors) {
        if (problems.size() < max_problems) check_bytes(entry, name, problems);
    }
    MORTISE_CHECK(std::move(problems).status());
    uint64_t data_begin = 8 + text.size(), data_bytes = 0;
    for (TensorEntry& entry : header.tensors) {
        data_bytes = entry.offset + entry.bytes;
        entry.offset += data_begin;
    }
    if (data_bytes != file.size() - data_begin) {
        bool short_file = data_bytes > file.size() - data_begin;
        Problem problem =
            about(name, Code::header_incomplete,
                  short_file ? "file is shorter than its header says" : "bytes after the last tensor");
        problem.expected = std::to_string(data_begin) + "+" + std::to_string(data_bytes) + " bytes";
        problem.found = std::to_string(file.size());
        if (short_file) problem.fix = "the file is truncated: fetch it again";
        return fail(std::move(problem));
    }
    return header;
}

}  // namespace mortise::checkpoint
