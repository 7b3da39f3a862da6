// A host for plugins without a model: config files from text, tensors from a list, and what the plugin said.
//
// One per process, as hosts are. Tests set it up, call tables of plugins, and look at error().
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "mortise/abi.h"
#include "plan/patterns.h"

namespace mortise::test {

inline mortise_str borrow(const std::string& text) { return {text.data(), text.size()}; }
inline std::string copy(mortise_str text) {
    return text.data ? std::string(text.data, text.size) : std::string();
}

struct FakeTensor {
    uint32_t dtype = MORTISE_DTYPE_BF16;
    std::vector<int64_t> shape;
    std::string encoding;
};

class FakeHost {
  public:
    static FakeHost& instance() {
        static FakeHost host;
        return host;
    }
    // Effect: forgets files, tensors and the error.
    void reset() {
        files_.clear();
        tensors.clear();
        contents.clear();
        bytes.clear();
        name_space.clear();
        error_.clear();
    }
    std::map<std::string, FakeTensor> tensors;
    std::map<std::string, std::vector<int32_t>> contents;  // of tensors that may be probed
    std::map<std::string, std::vector<std::byte>> bytes;   // of whole tensors, which may be probed too
    std::string name_space;

    const mortise_node* file(const std::string& name, const std::string& text) {
        files_[name] = std::make_unique<json::Document>(json::Document::parse(text, name).value());
        return handle(&files_[name]->root());
    }
    // Effect: names of members of config.json that nobody read, anywhere below the root.
    std::string unread(const std::string& name = "config.json") const {
        std::string out;
        collect(files_.at(name)->root(), "", out);
        return out;
    }
    void tensor(const std::string& name, uint32_t dtype, std::vector<int64_t> shape,
                std::string encoding = {}) {
        tensors[name] = {dtype, std::move(shape), std::move(encoding)};
    }

    // "what; found" of the last error, cleared by this.
    std::string error() { return std::exchange(error_, {}); }
    const mortise_host* table() const { return &table_; }
    const mortise_checkpoint* checkpoint() { return reinterpret_cast<const mortise_checkpoint*>(this); }

  private:
    FakeHost() {
        config_.head.size = sizeof config_;
        config_.kind = [](const mortise_node* n) { return static_cast<uint32_t>(node(n)->kind()); };
        config_.member = [](const mortise_node* n, mortise_str key) {
            return handle(node(n)->find({key.data, key.size}));
        };
        config_.count = [](const mortise_node* n) { return uint64_t{node(n)->size()}; };
        config_.item = [](const mortise_node* n, uint64_t i) {
            node(n)->items()[i]->mark_read();
            return handle(node(n)->items()[i].get());
        };
        config_.key = [](const mortise_node* n, uint64_t i) { return borrow(node(n)->keys()[i]); };
        config_.as_bool = [](const mortise_node* n, uint8_t* out) {
            return scalar(n ? node(n)->as_bool() : absent<bool>(), out);
        };
        config_.as_int = [](const mortise_node* n, int64_t* out) {
            return scalar(n ? node(n)->as_int() : absent<int64_t>(), out);
        };
        config_.as_real = [](const mortise_node* n, double* out) {
            return scalar(n ? node(n)->as_double() : absent<double>(), out);
        };
        config_.as_string = [](const mortise_node* n, mortise_str* out) -> mortise_status {
            const auto text = n ? node(n)->as_string() : absent<std::string_view>();
            if (!text) return failed(text.error());
            *out = {text->data(), text->size()};
            return MORTISE_OK;
        };
        config_.mark_read = [](const mortise_node* n, uint8_t deep) {
            deep ? node(n)->mark_all_read() : node(n)->mark_read();
        };
        config_.line = [](const mortise_node* n) { return n ? static_cast<uint64_t>(node(n)->line()) : 0; };
        fill_checkpoint();
        table_.head.size = sizeof table_;
        table_.log = [](uint32_t, mortise_str, mortise_str) {};
        table_.set_error = [](const mortise_error* e) {
            instance().error_ = copy(e->what) + (e->found.size ? "; " + copy(e->found) : "");
        };
        table_.config = &config_;
        table_.checkpoint = &checkpoint_;
        table_.pattern_matches = [](uint32_t kind, mortise_str pattern, mortise_str name) -> int32_t {
            const auto hit = plan::matches(kind, {pattern.data, pattern.size}, {name.data, name.size});
            if (!hit) return failed(hit.error()), -1;
            return *hit ? 1 : 0;
        };
    }
    void fill_checkpoint() {
        checkpoint_.head.size = sizeof checkpoint_;
        checkpoint_.name_space = [](const mortise_checkpoint*) { return borrow(instance().name_space); };
        checkpoint_.document = [](const mortise_checkpoint*, mortise_str name) -> const mortise_node* {
            const auto found = instance().files_.find(copy(name));
            return found == instance().files_.end() ? nullptr : handle(&found->second->root());
        };
        checkpoint_.tensor = [](const mortise_checkpoint*, mortise_str name, mortise_tensor* out) -> uint8_t {
            const auto found = instance().tensors.find(copy(name));
            if (found == instance().tensors.end()) return 0;
            fill(*found, out);
            return 1;
        };
        checkpoint_.tensors_below = [](const mortise_checkpoint*, mortise_str module,
                                       mortise_tensor_visitor visit, void* context) {
            const std::string prefix = module.size ? copy(module) + "." : "";
            for (const auto& each : instance().tensors) {
                if (!each.first.starts_with(prefix)) continue;
                mortise_tensor tensor{};
                fill(each, &tensor);
                visit(context, &tensor);
            }
        };
        checkpoint_.probe = [](const mortise_checkpoint*, mortise_str name, void* out,
                               uint64_t size) -> mortise_status {
            const auto found = instance().contents.find(copy(name));
            if (found != instance().contents.end() && found->second.size() * sizeof(int32_t) == size) {
                std::memcpy(out, found->second.data(), size);
                return MORTISE_OK;
            }
            const auto whole = instance().bytes.find(copy(name));
            if (whole != instance().bytes.end() && whole->second.size() == size) {
                std::memcpy(out, whole->second.data(), size);
                return MORTISE_OK;
            }
            instance().error_ = "no contents here: " + copy(name);
            return MORTISE_REFUSED;
        };
    }

    static const json::Node* node(const mortise_node* n) { return reinterpret_cast<const json::Node*>(n); }
    static const mortise_node* handle(const json::Node* n) {
        return reinterpret_cast<const mortise_node*>(n);
    }
    static mortise_status failed(const Error& error) {
        instance().error_ = error.first().what;
        return MORTISE_REFUSED;
    }
    template <class T>
    static Result<T> absent() {
        return fail(Code{}, "absent");
    }
    template <class T, class Out>
    static mortise_status scalar(const Result<T>& value, Out* out) {
        if (!value) return failed(value.error());
        *out = static_cast<Out>(*value);
        return MORTISE_OK;
    }
    static void fill(const std::pair<const std::string, FakeTensor>& from, mortise_tensor* out) {
        out->head.size = sizeof *out;
        out->name = borrow(from.first);
        out->dtype = from.second.dtype;
        out->rank = static_cast<uint32_t>(from.second.shape.size());
        out->shape = from.second.shape.data();
        out->encoding = borrow(from.second.encoding);
    }
    static void collect(const json::Node& from, const std::string& path, std::string& out) {
        for (size_t i = 0; i < from.items().size(); ++i) {
            const json::Node& child = *from.items()[i];
            const std::string name =
                path + (from.keys().empty() ? "[]" : (path.empty() ? "" : ".") + from.keys()[i]);
            if (!child.was_read())
                out += name + " ";
            else
                collect(child, name, out);
        }
    }

    std::map<std::string, std::unique_ptr<json::Document>> files_;
    std::string error_;
    mortise_config_api config_{};
    mortise_checkpoint_api checkpoint_{};
    mortise_host table_{};
};

}  // namespace mortise::test
