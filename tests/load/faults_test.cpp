// Storage and memory that fail: every call once, every time a clean error. This executable has a pread and an
// operator new of its own; both pass everything on until a test arms them.
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

#include "load/loader.h"
#include "load/support/hand_made.h"
#include "load/support/test_provider.h"

namespace {

enum class Fault { none, error, interrupted, shorter, end };
std::atomic<Fault> fault{Fault::none};
std::atomic<int64_t> reads_left{0};  // the fault happens when it reaches 0
std::atomic<bool> allocations_armed{false};
std::atomic<int64_t> allocations_left{0};

ssize_t faulty_pread(int descriptor, void* out, size_t bytes, off_t offset) {
    const Fault now = fault.load();
    if (now != Fault::none && reads_left.fetch_sub(1) == 1) switch (now) {
            case Fault::error: errno = EIO; return -1;
            case Fault::interrupted: errno = EINTR; return -1;
            case Fault::shorter: bytes = bytes > 1 ? bytes / 2 : bytes; break;
            case Fault::end: return 0;
            case Fault::none: break;
        }
    return syscall(SYS_pread64, descriptor, out, bytes, offset);
}

}  // namespace

extern "C" ssize_t pread(int descriptor, void* out, size_t bytes, off_t offset) {
    return faulty_pread(descriptor, out, bytes, offset);
}
extern "C" ssize_t pread64(int descriptor, void* out, size_t bytes, off_t offset) {
    return faulty_pread(descriptor, out, bytes, offset);
}

#if defined(__has_feature)
#define MORTISE_HAS_FEATURE(name) __has_feature(name)
#else
#define MORTISE_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || MORTISE_HAS_FEATURE(address_sanitizer)
#define MORTISE_OWN_NEW 0  // AddressSanitizer tells apart who allocated; ours would confuse it
#else
#define MORTISE_OWN_NEW 1
#endif
#if defined(__SANITIZE_THREAD__) || MORTISE_HAS_FEATURE(thread_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = !MORTISE_OWN_NEW;
#endif
#if MORTISE_OWN_NEW
// Inlined under a sanitizer, the pair looks mismatched to the compiler; it is not.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
void* operator new(size_t bytes) {
    if (allocations_armed.load() && allocations_left.fetch_sub(1) == 1) throw std::bad_alloc();
    if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif

namespace mortise::load {
namespace {

Result<std::shared_ptr<const Model>> load_with_fault(const testing::HandMade& made, Team& team, Fault kind,
                                                     int64_t nth) {
    reads_left = nth;
    fault = kind;
    auto model = load(made.origin(), {}, team);
    fault = Fault::none;
    return model;
}

int64_t reads_of_a_load(const testing::HandMade& made, Team& team) {
    EXPECT_TRUE(load_with_fault(made, team, Fault::error, INT64_MAX));
    return INT64_MAX - reads_left.load();
}

TEST(Faults, EveryReadThatFailsIsAnErrorOfTheFile) {
    Team team(2);
    const auto made = testing::tiny_model({.provider = testing::open_provider()});
    const int64_t reads = reads_of_a_load(*made, team);
    ASSERT_GT(reads, 10);
    for (const auto& [kind, code] :
         {std::pair{Fault::error, Code::file_read}, {Fault::end, Code::file_short}})
        for (int64_t n = 1; n <= reads; ++n) {
            testing::reset();
            const auto model = load_with_fault(*made, team, kind, n);
            ASSERT_FALSE(model) << n;
            EXPECT_EQ(model.error().code(), code) << n << ": " << to_string(model.error());
            EXPECT_FALSE(model.error().first().file.empty());
            EXPECT_EQ(testing::seen().kernels, 0u);
            EXPECT_EQ(testing::seen().allocated, 0u);
        }
}

TEST(Faults, InterruptedAndShortReadsAreGoneOnWith) {
    Team team(2);
    const auto made = testing::tiny_model({.provider = testing::open_provider()});
    const int64_t reads = reads_of_a_load(*made, team);
    const uint64_t clean = (*load(made->origin(), {}, team))->receipt().bytes_read;
    for (const Fault kind : {Fault::interrupted, Fault::shorter})
        for (int64_t n = 1; n <= reads; n += 3) {
            const auto model = load_with_fault(*made, team, kind, n);
            ASSERT_TRUE(model) << to_string(model.error());
            EXPECT_EQ((*model)->receipt().bytes_read, clean);
        }
}

TEST(Faults, EveryAllocationThatFailsIsOutOfMemory) {
    if (!MORTISE_OWN_NEW) GTEST_SKIP() << "the sanitizer owns operator new";
    Team team(2);
    const auto made = testing::tiny_model({.provider = testing::open_provider(), .layers = 1});
    const auto load_armed = [&](int64_t nth) {
        allocations_left = nth;
        allocations_armed = true;
        auto model = load(made->origin(), {}, team);
        allocations_armed = false;
        return model;
    };
    ASSERT_TRUE(load_armed(INT64_MAX));
    const int64_t allocations = INT64_MAX - allocations_left.load();
    ASSERT_GT(allocations, 100);
    for (int64_t n = 1; n <= allocations; n += n < 100 ? 1 : 11) {
        const auto model = load_armed(n);
        if (model) continue;  // fell on an allocation that only another interleaving makes
        EXPECT_EQ(model.error().code(), Code::out_of_memory) << n << ": " << to_string(model.error());
    }
}

// What a child makes of a load under an address space of `bytes`: 0 loaded, 7 out of memory, else a bug.
int load_under_limit(const testing::HandMade& made, uint64_t bytes) {
    const pid_t child = fork();
    if (child == 0) {
        const rlimit limit{bytes, bytes};
        setrlimit(RLIMIT_AS, &limit);
        int code = 7;
        try {
            Team team(2);
            const auto model = load(made.origin(), {}, team);
            code = model ? 0 : model.error().exit_code();
        } catch (const std::bad_alloc&) {
            code = 99;  // must have become an Error
        }
        _exit(code);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

uint64_t address_space() {
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    if (std::fscanf(file, "%lu", &pages) != 1) pages = 0;
    std::fclose(file);
    return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

TEST(Faults, AnyLimitOfTheAddressSpaceLoadsOrRefuses) {
    if (sanitized) GTEST_SKIP() << "a sanitizer reserves the address space itself";
    testing::HandMade made(testing::open_provider());
    made.plan.max_rows = 1;
    const uint32_t part = made.random_part("big", 2048, 2048);
    made.op(MORTISE_OP_EMBED, {}, {2048}, {part});
    made.plan.memory.packed = 2048 * 2048 * 4;
    made.finish();
    const uint64_t start = address_space();
    int loaded = 0, refused = 0;
    for (uint64_t extra = 0; extra <= 200u << 20; extra += 10u << 20) {
        const int code = load_under_limit(made, start + extra);
        ASSERT_TRUE(code == 0 || code == 7) << "exit " << code << " with " << (extra >> 20) << " MiB more";
        ++(code == 0 ? loaded : refused);
    }
    EXPECT_GT(loaded, 0);
    EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace mortise::load
