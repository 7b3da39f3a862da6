// The numbers of KV caches on their way into another dialect: scales, zero points and biases keep their
// values; what the dialect has no place for is named in a note. Private to the load. One thread.
#pragma once

#include <string>
#include <vector>

#include "plan/dialect_writer.h"
#include "plan/plan.h"

namespace mortise::load {

struct CacheNumber {
    uint32_t tensor = plan::none;  // catalog index
    std::string name;              // as it is written
    DType dtype{};
    Shape shape;
};
struct CacheNumbers {
    std::vector<CacheNumber> written;
    std::vector<std::string> notes;  // what is not written, and why
};

// Effect: what becomes of every number of a cache, used or not. After the writer's last target().
// Errors: plugin_contract when the dialect would change a value; the plugin's own.
Result<CacheNumbers> cache_numbers(const plan::Planned& planned, plan::DialectWriter& writer);
// Effect: the number's elements in the dtype that is written. Errors: file_read.
Result<std::vector<std::byte>> bytes_of(const plan::Planned& planned, const CacheNumber& number);

}  // namespace mortise::load
