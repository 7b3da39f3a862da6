// An opened shared library. The only place that opens one.
//
// Libraries are never unloaded: tables, strings and code of a plugin stay valid until the process ends.
// Thread-safe: open() is serialized.
#pragma once

#include <string>

#include "base/file.h"
#include "base/result.h"
#include "mortise/abi_base.h"

namespace mortise::registry {

class LoadedLibrary {
  public:
    // Effect: maps the library of `file` with every symbol resolved and none shared with others.
    // `through_descriptor`: maps the very file that is open, whatever its name means by now; debuggers then
    // show a descriptor's path.
    // Errors: plugin_open with the dynamic linker's words.
    static Result<LoadedLibrary> open(File file, bool through_descriptor);

    mortise_plugin_fn entry() const { return entry_; }

  private:
    explicit LoadedLibrary(mortise_plugin_fn function) : entry_(function) {}
    mortise_plugin_fn entry_;
};

}  // namespace mortise::registry
