// What plugins see of a checkpoint, and the thread's slot for their errors. Private to the plan.
//
// A CheckpointView is what an opaque mortise_checkpoint points to; nodes are json::Nodes. One thread at a
// time per view.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "mortise/abi.h"

namespace mortise::plan {

struct CheckpointView {
    const checkpoint::Checkpoint* checkpoint = nullptr;
    const checkpoint::TensorReader* reader = nullptr;  // null: probe is refused
    std::vector<std::string>* probed = nullptr;        // names of probed tensors are appended
};

inline mortise_checkpoint* handle(CheckpointView* view) {
    return reinterpret_cast<mortise_checkpoint*>(view);
}
inline const mortise_checkpoint* handle(const CheckpointView* view) {
    return reinterpret_cast<const mortise_checkpoint*>(view);
}
inline const mortise_node* handle(const json::Node* node) {
    return reinterpret_cast<const mortise_node*>(node);
}
inline const json::Node* node(const mortise_node* handle) {
    return reinterpret_cast<const json::Node*>(handle);
}

inline mortise_str borrow(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view view(mortise_str text) { return {text.data, static_cast<size_t>(text.size)}; }
inline std::string copy(mortise_str text) { return text.data ? std::string(view(text)) : std::string(); }

// Empties this thread's error slot. Call before calling a plugin.
void clear_error();
// Effect: the error that the plugin left, or one that names `plugin` and `function` when it left none.
// Requires: status != MORTISE_OK.
Error take_error(mortise_status status, std::string_view plugin, std::string_view function);
// Leaves an error of ours in the slot, for a service that fails inside a plugin's call.
void leave_error(const Error& error);

}  // namespace mortise::plan
