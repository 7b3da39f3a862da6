// A checkpoint on disk, opened: its catalog, its side files, its metadata. Headers are read, tensor data
// never, pickles and Python files are not even opened.
//
// document() and file() are not thread-safe (they load on first use); the rest is immutable.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "checkpoint/catalog.h"

namespace mortise::checkpoint {

// A file that a container carries inside.
struct VirtualFile {
    std::string bytes;
    std::string origin;  // for messages: the container and the keys that it was made from
};

// A file of the folder that is not used, and why.
struct IgnoredFile {
    std::string name;
    std::string reason;  // "pickle, never opened"
};

struct Checkpoint {
    std::string path;        // as the user gave it
    std::string folder;      // where side files lie; absolute
    std::string name_space;  // of tensor names, given by a container; "" = native
    Catalog catalog;
    std::map<std::string, std::string, std::less<>> metadata;       // of the data files; the first file wins
    std::map<std::string, VirtualFile, std::less<>> virtual_files;  // go before files of the folder
    std::vector<IgnoredFile> ignored_files;

    // Effect: true iff file() would find it. `name` is a plain file name.
    bool has_file(std::string_view name) const;
    // Effect: the content of a side file ("tokenizer.json", "chat_template.jinja").
    // Errors: file_missing, folder_escape, file_*.
    Result<std::string> file(std::string_view name) const;
    // Effect: where file() takes it from, for messages.
    std::string file_origin(std::string_view name) const;
    // Effect: the side file as JSON, parsed once; null when there is none ("config.json").
    // Errors: as file(), and json_*.
    Result<const json::Document*> document(std::string_view name) const;

  private:
    Result<std::string> resolve(std::string_view name) const;
    mutable std::map<std::string, std::unique_ptr<json::Document>, std::less<>> documents_;
};

// Effect: the folder or file that `path` means: an existing path as it is; "org/name" or "org/name@revision"
// is looked up in the local Hugging Face cache (HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, ~/.cache). Never
// downloads. Errors: file_missing, saying where it looked.
Result<std::string> locate(const std::string& path);

// Effect: opens a folder of safetensors files, with or without an index, or one .safetensors file.
// Errors: header_*, index_*, folder_*, duplicate_tensor, dtype_unsupported, file_*: all of one stage
// together. unsupported_container when the path is a file or folder that is not native: see candidates().
Result<Checkpoint> open_native(const std::string& path);

// A file that some container plugin may know.
struct Candidate {
    std::string path;
    std::string file_name;
    std::string first_bytes;  // up to 64
};
// Effect: the file itself, or the files of a folder without native weights that may hold tensors (no pickles,
// no text), in byte order. Empty for a native checkpoint. Errors: as locate(), file_*.
Result<std::vector<Candidate>> candidates(const std::string& path);

}  // namespace mortise::checkpoint
