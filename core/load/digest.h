// Digests of everything a checkpoint means: per module as it lies on disk, per canonical part, and one for
// the whole model. They do not depend on threads, on the order of tensors, or on how files are sharded.
#pragma once

#include <string>
#include <vector>

#include "load/loader.h"

namespace mortise::load {

// A module under its Hugging Face name, in Hugging Face row order. A stack of experts kept under such a name
// is one module in its stored order of axes.
struct ModuleDigest {
    std::string name;
    Shape shape;         // [N,K], or [E,...] for a stack
    bool plain = false;  // not quantized
    std::string values;  // SHA-256 of the decoded weights, f32
};

// One logical linear or embedding; experts one by one.
struct PartDigest {
    std::string name;
    uint64_t n = 0, k = 0;
    bool plain = false;
    std::string spec, values, act;  // as quant/digest.h defines them
};

struct VectorDigest {
    std::string name;
    std::string values;
};

struct Digests {
    std::vector<ModuleDigest> modules;  // by name
    std::vector<PartDigest> parts;      // by name
    std::vector<VectorDigest> vectors;  // by name
    // SHA-256 over the lines "name n k spec values\n" of the parts and "name values\n" of the vectors,
    // sorted.
    std::string model;
};

struct DigestOptions {
    bool modules = true;  // false: parts alone, without a second pass over fused modules
};

// Requires: a plan of size 1. Errors: as verify().
Result<Digests> digest(const Origin& origin, Team& team, const DigestOptions& options = {},
                       const Progress& progress = {});

}  // namespace mortise::load
