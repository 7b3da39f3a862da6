// The table of error codes: one line each, grouped by the thousands of result.h. Append within a group.
#pragma once

#include <cstdint>

namespace mortise {

enum class Code : uint16_t {
    // 1xxx usage
    usage = 1001,

    // 2xxx checkpoint refused: container
    header_too_small = 2001,      // file shorter than the 8-byte header length
    header_too_large = 2002,      // header length above 100,000,000
    header_length = 2003,         // header runs past the end of the file
    header_utf8 = 2004,           // header is not UTF-8
    header_json = 2005,           // header is not JSON of the right types
    header_offsets = 2006,        // hole, overlap or reversed range
    header_overflow = 2007,       // shape overflows
    header_misaligned = 2008,     // elements do not fill whole bytes
    header_tensor_bytes = 2009,   // byte range does not fit dtype and shape
    header_incomplete = 2010,     // data buffer shorter or longer than the header says
    duplicate_tensor = 2011,      // same name twice, in one file or in two
    dtype_unsupported = 2012,     // element type that the library does not define
    index_invalid = 2020,         // index file malformed
    index_file_name = 2021,       // shard name is no plain file name
    index_shard_missing = 2022,   // shard named by the index is not there
    index_tensor_missing = 2023,  // index names a tensor that its shard lacks
    index_tensor_extra = 2024,    // shard has a tensor that the index does not name
    folder_no_weights = 2030,     // no weights in the folder
    folder_ambiguous = 2031,      // more than one candidate weights file
    folder_escape = 2032,         // link leads out of the folder
    json_invalid = 2040,          // JSON syntax
    json_duplicate_key = 2041,
    json_limits = 2042,  // too large, too deep
    json_type = 2043,    // value of the wrong type
    // 2xxx checkpoint refused: plan
    config_missing = 2101,      // key or file that is required
    config_value = 2102,        // value out of range or contradictory
    config_unknown_key = 2103,  // key that nobody reads
    tensor_missing = 2110,      // a parameter has no source
    tensor_unexpected = 2111,   // a tensor that nothing consumes
    tensor_shape = 2112,
    tensor_dtype = 2113,
    tensor_duplicate_source = 2114,  // fused and unfused spelling both present
    companion_partial = 2115,        // companion present in some layers only
    layout_invalid = 2116,           // layout is not one-to-one or does not fit the tensor
    rule_unmatched = 2120,           // ignore or target rule that matches nothing
    rule_conflict = 2121,            // two rules disagree on one module
    evidence_conflict = 2122,        // config and tensors contradict each other
    tie_ambiguous = 2123,            // cannot tell whether head and embedding are one
    partition_indivisible = 2124,    // cannot be split over that many ranks
    plan_incomplete = 2125,          // an element of a parameter is written never or twice
    // 2xxx checkpoint refused: contents
    value_not_finite = 2201,  // NaN or infinity where none may be
    value_range = 2202,       // zero point, g_idx, scale out of range
    value_obligation = 2203,  // a promise about contents does not hold
    value_changed = 2204,     // file changed while it was read
    lossy = 2205,             // conversion would change decoded weights
    tokenizer_invalid = 2301,
    template_invalid = 2302,

    // 3xxx configuration YAML
    yaml_syntax = 3001,
    yaml_duplicate_key = 3002,
    yaml_unknown_key = 3003,
    yaml_type = 3004,
    yaml_missing_key = 3005,
    yaml_value = 3006,
    yaml_limits = 3007,

    // 4xxx plugin
    manifest_invalid = 4001,
    plugin_duplicate = 4002,  // same id twice
    plugin_not_elf = 4003,
    plugin_truncated = 4004,
    plugin_abi = 4005,        // note missing, or another ABI
    plugin_mismatch = 4006,   // note and manifest disagree
    plugin_open = 4007,       // dlopen failed
    plugin_failed = 4008,     // plugin returned an error of its own
    plugin_contract = 4009,   // plugin broke the ABI's rules
    plugin_trust = 4010,      // permissions or owner
    plugin_ambiguous = 4011,  // two plugins tie
    plugin_disabled = 4012,
    plugin_hash = 4013,

    // 5xxx sound but unsupported here
    unsupported_scheme = 5001,
    unsupported_architecture = 5002,
    unsupported_variant = 5003,  // known scheme or architecture, unknown flavour of it
    unsupported_container = 5004,
    unsupported_kernel = 5005,
    unsupported_tokenizer = 5006,
    unsupported_template = 5007,

    // 6xxx memory, disk, device
    out_of_memory = 6001,
    device_missing = 6002,
    disk_full = 6003,

    // 7xxx I/O
    file_open = 7001,
    file_read = 7002,
    file_short = 7003,  // file ended early
    file_write = 7004,
    file_missing = 7005,

    // 9xxx our bug
    internal = 9001,
};

}  // namespace mortise
