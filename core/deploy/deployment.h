// A deployment: which model, with which plugins, on what, and how. The typed end of resolve().
//
// A value. Knows no format, architecture or kernel: names of plugins are data here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "deploy/resolve.h"

namespace mortise::deploy {

struct Plugins {
    std::vector<std::string> plugin_dir;   // searched first
    std::vector<std::string> search_path;  // searched before the installed ones
    bool user_dir = false;
    std::optional<std::vector<std::string>> allow;  // set: everything else is off
    std::vector<std::string> deny, disable;
    std::map<std::string, Pin> pins;  // by plugin id
    bool require_hash = false;
    bool trust_warns = false;                   // instead of refusing
    std::map<std::string, std::string> select;  // "scheme.METHOD" -> plugin id that wins a tie
};

struct TensorParallel {
    uint32_t size = 1, rank = 0;
};

// Unset values come from the checkpoint's generation_config.json.
struct Sampling {
    std::optional<int64_t> max_tokens, top_k, seed;
    std::optional<double> temperature, top_p, min_p, repetition_penalty;
    std::vector<std::string> stop;
    bool ignore_eos = false;
};

struct Server {
    std::string host, api_key_file, served_model_name;
    uint16_t port = 0;
    uint32_t max_num_seqs = 0;
};

struct Deployment {
    std::string file;          // deployment file, for messages; empty = none
    std::string model;         // path, or org/name; empty when nothing names one
    std::string scheme;        // id that overrides the choice; empty = by the checkpoint
    std::string quantization;  // dialect and options for float weights; empty = as published
    std::vector<std::string> accept_config_keys, accept_rules;
    bool accept_missing_head = false;
    Plugins plugins;
    std::string device;    // "auto" or a kind
    uint32_t threads = 1;  // resolved: never 0
    bool reference_kernels = false;
    std::string activations;  // exact | as-specified | fast
    std::vector<std::string> prefer_kernels, forbid_kernels;
    TensorParallel tensor_parallel;
    std::string cache_dtype;
    uint64_t max_model_len = 0;  // 0 = the model's
    Sampling sampling;
    std::string log_level, log_format;
    Server server;
};

// Effect: the deployment. Errors: usage when values contradict each other (path and name of a model, a rank
// outside the split, a provider both preferred and forbidden), all of them at once.
Result<Deployment> make_deployment(const Resolved& resolved);

}  // namespace mortise::deploy
