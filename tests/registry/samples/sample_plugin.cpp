// The source of all sample plugins: one scheme "sample". Each define breaks one rule of the border, or
// changes one fact.
#include <cfenv>
#include <cstdlib>

#include "mortise/abi.h"
#include "mortise/sdk/note.h"

#ifndef SAMPLE_ID
#define SAMPLE_ID "com.test.good"
#endif
#ifndef SAMPLE_VERSION
#define SAMPLE_VERSION "1.0.0"
#endif
#ifndef SAMPLE_SCORE
#define SAMPLE_SCORE 500
#endif
#ifndef SAMPLE_ENTRY_MINOR
#define SAMPLE_ENTRY_MINOR 0
#endif

#ifndef SAMPLE_NO_NOTE
namespace {
constexpr mortise::sdk::Note make_sample_note() {
    auto note = mortise::sdk::make_note(SAMPLE_ID, SAMPLE_VERSION, 0);
#ifdef SAMPLE_ABI_MAJOR
    note.descriptor.abi_major = SAMPLE_ABI_MAJOR;
#endif
#ifdef SAMPLE_ABI_MINOR
    note.descriptor.abi_minor = SAMPLE_ABI_MINOR;
#endif
    return note;
}
}  // namespace
extern const mortise::sdk::Note sample_note;
__attribute__((section(".note.mortise"), used, aligned(4))) constinit const mortise::sdk::Note sample_note =
    make_sample_note();
#endif

#ifdef SAMPLE_UNDEFINED
extern "C" void mortise_test_symbol_that_nobody_has();
void call_it() { mortise_test_symbol_that_nobody_has(); }
#endif

#ifdef SAMPLE_CHANGES_ROUNDING
namespace {
struct Constructor {
    Constructor() { std::fesetround(FE_UPWARD); }
} constructor;
}  // namespace
#endif

namespace {

mortise_str text(const char* literal) { return {literal, __builtin_strlen(literal)}; }

mortise_status match(const mortise_checkpoint*, mortise_match* out) {
#ifdef SAMPLE_CHANGES_ROUNDING
    std::fesetround(FE_DOWNWARD);
#endif
    out->verdict = MORTISE_VERDICT_YES;
    out->score = SAMPLE_SCORE;
    return MORTISE_OK;
}
mortise_status open(const mortise_checkpoint*, void**) { return MORTISE_OK; }
void close(void*) {}
mortise_status module(void*, const mortise_module*, mortise_answer*) { return MORTISE_OK; }

// A later minor appends to tables and entries; this core must not notice.
struct FutureTable {
    mortise_scheme_v1 known;
    void* more[4];
};
struct FutureEntry {
    mortise_entry known;
    uint64_t more[3];
};

FutureTable table{};
FutureEntry entries[2]{};

void fill_table() {
    table.known.head = {sizeof(mortise_scheme_v1), 0};
    table.known.match = match;
    table.known.open = open;
    table.known.close = close;
    table.known.module = module;
#ifdef SAMPLE_NULL_FUNCTION
    table.known.module = nullptr;
#endif
#ifdef SAMPLE_SMALL_TABLE
    table.known.head.size = offsetof(mortise_scheme_v1, module);
#endif
#ifdef SAMPLE_FUTURE
    table.known.head = {sizeof(FutureTable), 5};
#endif
}

mortise_entry make_entry(const char* id) {
    mortise_entry entry{};
    entry.head = {sizeof(mortise_entry), 0};
    entry.interface_kind = MORTISE_INTERFACE_SCHEME;
    entry.minor = SAMPLE_ENTRY_MINOR;
#ifdef SAMPLE_UNKNOWN_INTERFACE
    entry.interface_kind = 99;
#endif
    entry.id = text(id);
    entry.table = &table;
    return entry;
}

}  // namespace

#ifdef SAMPLE_NO_SYMBOL
#define SAMPLE_ENTRY_POINT something_else
#else
#define SAMPLE_ENTRY_POINT mortise_plugin_v1
#endif

extern "C" __attribute__((visibility("default"))) mortise_status SAMPLE_ENTRY_POINT(const mortise_host*,
                                                                                    mortise_plugin* out) {
#ifdef SAMPLE_REFUSES
    return MORTISE_INTERNAL;
#endif
#ifdef SAMPLE_CRASHES
    std::abort();
#endif
#ifdef SAMPLE_FORBIDDEN
    setenv("MORTISE_SAMPLE", "1", 1);
#endif
    fill_table();
    out->id = text(SAMPLE_ID);
#ifdef SAMPLE_SAYS_OTHER
    out->id = text("com.test.impostor");
#endif
    out->version = text(SAMPLE_VERSION);
    out->n_entries = 1;
    entries[0].known = make_entry("sample");
    out->entries = &entries[0].known;
#ifdef SAMPLE_FUTURE
    entries[0].known.head.size = sizeof(FutureEntry);
    entries[1].known = make_entry("second");
    entries[1].known.head.size = sizeof(FutureEntry);
    out->n_entries = 2;
#endif
#ifdef SAMPLE_NO_ENTRIES
    out->n_entries = 0;
#endif
#ifdef SAMPLE_EXTRA_ENTRY
    static const mortise_entry two[2] = {make_entry("sample"), make_entry("secret")};
    out->entries = two;
    out->n_entries = 2;
#endif
    return MORTISE_OK;
}
