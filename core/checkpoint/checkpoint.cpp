#include "checkpoint/checkpoint.h"

#include "base/file.h"
#include "checkpoint/folder.h"

namespace mortise::checkpoint {

Result<std::string> Checkpoint::resolve(std::string_view name) const {
    if (folder.empty()) {
        return fail(Problem{.code = Code::file_missing, .what = "no such file", .file = std::string(name)});
    }
    return resolve_inside(folder, name);
}

bool Checkpoint::has_file(std::string_view name) const {
    if (virtual_files.contains(name)) return true;
    auto real = resolve(name);
    // A file that may not be followed is there: reading it says why it cannot be used.
    return real.has_value() || real.error().code() == Code::folder_escape;
}

Result<std::string> Checkpoint::file(std::string_view name) const {
    if (auto at = virtual_files.find(name); at != virtual_files.end()) return at->second.bytes;
    MORTISE_TRY(std::string real, resolve(name));
    return read_file(real);
}

std::string Checkpoint::file_origin(std::string_view name) const {
    if (auto at = virtual_files.find(name); at != virtual_files.end()) return at->second.origin;
    return folder + '/' + std::string(name);
}

Result<const json::Document*> Checkpoint::document(std::string_view name) const {
    if (auto at = documents_.find(name); at != documents_.end()) return at->second.get();
    std::unique_ptr<json::Document> document;
    if (has_file(name)) {
        MORTISE_TRY(std::string text, file(name));
        MORTISE_TRY(json::Document parsed, json::Document::parse(text, file_origin(name)));
        document = std::make_unique<json::Document>(std::move(parsed));
    }
    return documents_.emplace(name, std::move(document)).first->second.get();
}

}  // namespace mortise::checkpoint
