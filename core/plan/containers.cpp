// Opens a path: the native reader first, container plugins for single files that are something else.

#include "base/file.h"
#include "plan/host_view.h"
#include "plan/plan.h"
#include "registry/plugin_call.h"

namespace mortise::plan {
namespace {

struct Sink {
    checkpoint::CatalogBuilder builder;
    checkpoint::Checkpoint checkpoint;
    uint32_t file = 0;
};

mortise_status read_source(void* context, uint64_t offset, uint64_t bytes, void* out) {
    const auto& sink = *static_cast<const Sink*>(context);
    const Status read =
        sink.builder.file(sink.file).read(offset, {static_cast<std::byte*>(out), static_cast<size_t>(bytes)});
    if (read) return MORTISE_OK;
    leave_error(read.error());
    return MORTISE_REFUSED;
}

void sink_tensor(void* context, const mortise_container_tensor* from) {
    auto& sink = *static_cast<Sink*>(context);
    checkpoint::TensorEntry entry;
    entry.name = copy(from->name);
    entry.dtype = static_cast<DType>(from->dtype);
    entry.shape.assign(from->shape, from->shape + from->rank);
    entry.file = sink.file;
    entry.offset = from->offset;
    entry.bytes = from->bytes;
    entry.encoding = copy(from->encoding);
    sink.builder.add(std::move(entry));
}

void sink_file(void* context, mortise_str name, mortise_str bytes, mortise_str origin) {
    static_cast<Sink*>(context)->checkpoint.virtual_files[copy(name)] = {copy(bytes), copy(origin)};
}

void sink_metadata(void* context, mortise_str key, mortise_str value) {
    static_cast<Sink*>(context)->checkpoint.metadata.emplace(copy(key), copy(value));
}

Result<checkpoint::Checkpoint> open_container(const checkpoint::Candidate& candidate,
                                              const mortise_container_v1& table, std::string_view id) {
    Sink sink;
    MORTISE_TRY(File file, File::open(candidate.path));
    const uint64_t size = file.size();
    sink.file = sink.builder.add_file(candidate.file_name, std::move(file));
    sink.checkpoint.path = candidate.path;
    sink.checkpoint.folder = candidate.path.substr(0, candidate.path.find_last_of('/') + 1);
    sink.checkpoint.name_space = copy(table.name_space);
    const mortise_source source{
        {sizeof source, MORTISE_ABI_MINOR}, &sink, size, borrow(candidate.file_name), read_source};
    const mortise_container_sink target{
        {sizeof target, MORTISE_ABI_MINOR}, &sink, sink_tensor, sink_file, sink_metadata};
    clear_error();
    const mortise_status status = registry::PluginCall::call([&] { return table.open(&source, &target); });
    if (status != MORTISE_OK) return std::unexpected(take_error(status, id, "open").in_file(candidate.path));
    MORTISE_TRY(sink.checkpoint.catalog, std::move(sink.builder).finish());
    return std::move(sink.checkpoint);
}

}  // namespace

Result<checkpoint::Checkpoint> open_checkpoint(const std::string& path, registry::Registry& registry,
                                               std::string* container) {
    MORTISE_TRY(const std::string located, checkpoint::locate(path));
    MORTISE_TRY(const auto candidates, checkpoint::candidates(located));
    for (const checkpoint::Candidate& candidate : candidates) {
        MORTISE_TRY(const auto chosen,
                    registry.container(candidate.file_name, candidate.first_bytes, host()));
        if (!chosen.table) continue;
        if (container) *container = chosen.id;
        return open_container(candidate, *chosen.table, chosen.id);
    }
    if (container) *container = "safetensors";
    return checkpoint::open_native(path);
}

}  // namespace mortise::plan
