#include "checkpoint/catalog.h"

#include <algorithm>

#include "base/checked.h"

namespace mortise::checkpoint {
namespace {

std::string bytes_text(uint64_t bytes) { return std::to_string(bytes) + " bytes"; }

// Order of `n` items under `less`, as positions. Entries are moved once, not at every step of a sort.
template <class Less>
std::vector<uint32_t> order_of(size_t n, Less less) {
    std::vector<uint32_t> order(n);
    for (size_t i = 0; i < n; ++i) order[i] = static_cast<uint32_t>(i);
    if (!std::is_sorted(order.begin(), order.end(), less)) std::sort(order.begin(), order.end(), less);
    return order;
}

void check_entry(const TensorEntry& entry, const DataFile& file, Problems& problems) {
    auto report = [&](Code code, std::string what, std::string expected, std::string found) {
        problems.add(Problem{.code = code,
                             .what = std::move(what),
                             .file = file.name,
                             .tensor = entry.name,
                             .expected = std::move(expected),
                             .found = std::move(found)});
    };
    auto end = checked_add(entry.offset, entry.bytes);
    if (!end || *end > file.file.size()) {
        report(Code::header_offsets, "data lies outside the file", "at most " + bytes_text(file.file.size()),
               "end at " + (end ? std::to_string(*end) : std::string("overflow")));
        return;
    }
    auto count = elements(entry.shape);
    if (!count || !checked_mul(*count, static_cast<uint64_t>(bits(entry.dtype)))) {
        report(Code::header_overflow, "shape is too large", "", to_string(entry.dtype, entry.shape));
        return;
    }
    if (!entry.encoding.empty()) return;
    auto dense = dense_bytes(entry.dtype, entry.shape);
    if (!dense) {
        report(Code::header_misaligned, "elements do not fill whole bytes", "",
               to_string(entry.dtype, entry.shape));
    } else if (*dense != entry.bytes) {
        report(Code::header_tensor_bytes, "byte range does not fit " + to_string(entry.dtype, entry.shape),
               bytes_text(*dense), bytes_text(entry.bytes));
    }
}

}  // namespace

const TensorEntry* Catalog::find(std::string_view name) const {
    auto at = std::lower_bound(tensors_->begin(), tensors_->end(), name,
                               [](const TensorEntry& entry, std::string_view n) { return entry.name < n; });
    return at != tensors_->end() && at->name == name ? &*at : nullptr;
}

std::span<const TensorEntry> Catalog::with_prefix(std::string_view prefix) const {
    auto begin =
        std::lower_bound(tensors_->begin(), tensors_->end(), prefix,
                         [](const TensorEntry& entry, std::string_view p) { return entry.name < p; });
    auto end = std::partition_point(begin, tensors_->end(),
                                    [&](const TensorEntry& entry) { return entry.name.starts_with(prefix); });
    return {begin, end};
}

uint64_t Catalog::total_bytes() const {
    uint64_t total = 0;  // ranges lie within files, so this cannot overflow in practice
    for (const TensorEntry& entry : *tensors_) total += entry.bytes;
    return total;
}

uint32_t CatalogBuilder::add_file(std::string name, File file) {
    files_.push_back({std::move(name), std::move(file)});
    return static_cast<uint32_t>(files_.size() - 1);
}

Result<Catalog> CatalogBuilder::finish() && {
    Problems problems;
    for (const TensorEntry& entry : tensors_) {
        MORTISE_INVARIANT(entry.file < files_.size());
        check_entry(entry, files_[entry.file], problems);
    }
    auto order = order_of(tensors_.size(),
                          [&](uint32_t a, uint32_t b) { return tensors_[a].name < tensors_[b].name; });
    auto file_order =
        order_of(files_.size(), [&](uint32_t a, uint32_t b) { return files_[a].name < files_[b].name; });
    std::vector<uint32_t> new_index(files_.size());
    auto files = std::make_shared<std::vector<DataFile>>();
    for (uint32_t i = 0; i < file_order.size(); ++i) {
        new_index[file_order[i]] = i;
        files->push_back(std::move(files_[file_order[i]]));
    }
    auto tensors = std::make_shared<std::vector<TensorEntry>>();
    tensors->reserve(tensors_.size());
    for (uint32_t i : order) {
        TensorEntry& entry = tensors->emplace_back(std::move(tensors_[i]));
        entry.file = new_index[entry.file];
        if (tensors->size() < 2) continue;
        const TensorEntry& last = (*tensors)[tensors->size() - 2];
        if (last.name != entry.name) continue;
        const std::string &first = (*files)[last.file].name, &second = (*files)[entry.file].name;
        bool one_file = first == second;
        problems.add(Problem{.code = Code::duplicate_tensor,
                             .what = one_file
                                         ? "tensor occurs twice"
                                         : "tensor occurs twice, first in '" + std::min(first, second) + "'",
                             .file = std::max(first, second),
                             .tensor = entry.name});
    }
    MORTISE_CHECK(std::move(problems).status());
    Catalog catalog;
    catalog.files_ = std::move(files);
    catalog.tensors_ = std::move(tensors);
    return catalog;
}

Status TensorReader::read(const TensorEntry& entry, uint64_t begin, std::span<std::byte> out) const {
    MORTISE_INVARIANT(begin <= entry.bytes && out.size() <= entry.bytes - begin);
    if (Status status = catalog_.files()[entry.file].file.read(entry.offset + begin, out); !status) {
        return std::unexpected(std::move(status).error().in_tensor(entry.name));
    }
    bytes_read_.fetch_add(out.size(), std::memory_order_relaxed);
    return {};
}

Result<std::vector<std::byte>> TensorReader::read_all(const TensorEntry& entry) const {
    std::vector<std::byte> bytes(entry.bytes);
    MORTISE_CHECK(read(entry, 0, bytes));
    return bytes;
}

Status TensorReader::unchanged() const {
    Problems problems;
    for (const DataFile& file : catalog_.files()) {
        if (Status status = file.file.unchanged(); !status) problems.add(status.error());
    }
    return std::move(problems).status();
}

}  // namespace mortise::checkpoint
