// Internal to core/checkpoint: names and links of a folder. Thread-safe: no state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mortise::checkpoint {

// Effect: absolute path without links. Errors: file_missing, file_open.
Result<std::string> real_path(const std::string& path);

// Effect: names of everything in `folder` but subfolders, in byte order; links count by what they lead to.
Result<std::vector<std::string>> list_files(const std::string& folder);

// Effect: the real path of `name` in `folder`.
// Requires: `folder` is a real path.
// Errors: file_missing; folder_escape when a link leads out of the folder, except from a snapshot of the
// Hugging Face cache (REPO/snapshots/REVISION) into the same repository's blobs.
Result<std::string> resolve_inside(const std::string& folder, std::string_view name);

// Why a file that may hold weights is not used; empty for files that need no mention.
std::string_view reason_to_ignore(std::string_view name);
// Effect: false for pickles, programs, texts and pictures: files that no container plugin is asked about.
bool may_hold_tensors(std::string_view name);

}  // namespace mortise::checkpoint
