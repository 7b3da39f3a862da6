#include "registry/library_file.h"

#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "mortise/abi_base.h"

namespace mortise::registry {
namespace {

struct Descriptor {
    int fd;
    ~Descriptor() {
        if (fd >= 0) ::close(fd);
    }
};
using ElfHandle = std::unique_ptr<Elf, int (*)(Elf*)>;

std::unexpected<Error> refuse(Code code, const std::string& path, std::string what, std::string expected, std::string found,
                              std::string fix = {}) {
    return fail(Problem{.code = code, .what = std::move(what), .file = path, .expected = std::move(expected), .found = std::move(found),
                        .fix = std::move(fix)});
}

Status check_owner(const std::string& path, const struct stat& info) {
    if (!S_ISREG(info.st_mode)) return refuse(Code::plugin_not_elf, path, "a plugin's library is no regular file", "a shared library", "another kind of file");
    if (info.st_mode & (S_IWGRP | S_IWOTH))
        return refuse(Code::plugin_trust, path, "a plugin's library may be changed by others", "mode 0644 or stricter", "writable by group or others",
                      "chmod go-w " + path);
    if (info.st_uid != 0 && info.st_uid != ::geteuid())
        return refuse(Code::plugin_trust, path, "a plugin's library belongs to another user", "owned by root or by this user",
                      "uid " + std::to_string(info.st_uid));
    return {};
}

Status check_header(const std::string& path, Elf* elf, uint64_t size) {
    GElf_Ehdr header;
    if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &header))
        return refuse(Code::plugin_not_elf, path, "not an ELF file", "a shared library", "something else");
    if (header.e_machine != EM_X86_64 || header.e_type != ET_DYN || header.e_ident[EI_CLASS] != ELFCLASS64)
        return refuse(Code::plugin_not_elf, path, "a library for another machine", "x86-64 shared library", "machine " + std::to_string(header.e_machine));
    size_t segments = 0;
    if (elf_getphdrnum(elf, &segments) != 0 || segments == 0)
        return refuse(Code::plugin_truncated, path, "the library has no program headers", "a complete file", std::to_string(size) + " bytes",
                      "install the plugin again");
    for (size_t i = 0; i < segments; ++i) {
        GElf_Phdr segment;
        if (!gelf_getphdr(elf, static_cast<int>(i), &segment) || segment.p_offset > size || segment.p_filesz > size - segment.p_offset)
            return refuse(Code::plugin_truncated, path, "a segment of the library lies outside the file", "a complete file",
                          std::to_string(size) + " bytes", "install the plugin again");
    }
    return {};
}

std::string text_of(const char* field, size_t capacity) { return {field, ::strnlen(field, capacity)}; }

// Reads every note of every PT_NOTE segment.
bool find_note(Elf* elf, LibraryFacts& facts) {
    size_t segments = 0;
    bool found = false;
    elf_getphdrnum(elf, &segments);
    for (size_t i = 0; i < segments; ++i) {
        GElf_Phdr segment;
        gelf_getphdr(elf, static_cast<int>(i), &segment);
        if (segment.p_type != PT_NOTE) continue;
        Elf_Data* data = elf_getdata_rawchunk(elf, static_cast<int64_t>(segment.p_offset), segment.p_filesz, ELF_T_NHDR);
        GElf_Nhdr note;
        size_t name = 0, descriptor = 0;
        for (size_t at = 0; data && (at = gelf_getnote(data, at, &note, &name, &descriptor)) > 0;) {
            const auto* bytes = static_cast<const char*>(data->d_buf);
            const std::string owner = text_of(bytes + name, note.n_namesz);
            if (owner == "GNU" && note.n_type == NT_GNU_BUILD_ID)
                for (uint32_t b = 0; b < note.n_descsz; ++b) {
                    constexpr char digits[] = "0123456789abcdef";
                    const auto byte = static_cast<uint8_t>(bytes[descriptor + b]);
                    facts.build_id += {digits[byte >> 4], digits[byte & 15]};
                }
            if (owner != MORTISE_NOTE_NAME || note.n_type != MORTISE_NOTE_TYPE || note.n_descsz < sizeof(mortise_note)) continue;
            mortise_note ours;
            std::memcpy(&ours, bytes + descriptor, sizeof ours);
            facts.id = text_of(ours.id, sizeof ours.id);
            facts.version = text_of(ours.version, sizeof ours.version);
            facts.abi_major = ours.abi_major;
            facts.abi_minor = ours.abi_minor;
            found = true;
        }
    }
    return found;
}

}  // namespace

Result<LibraryFacts> examine(const std::string& path) {
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat info {};
    if (file.fd < 0 || ::fstat(file.fd, &info) != 0)
        return refuse(Code::file_open, path, "the plugin's library cannot be opened", "the library that the manifest names", std::strerror(errno));
    MORTISE_CHECK(check_owner(path, info));
    elf_version(EV_CURRENT);
    const ElfHandle elf(elf_begin(file.fd, ELF_C_READ, nullptr), elf_end);
    if (!elf) return refuse(Code::plugin_not_elf, path, "not an ELF file", "a shared library", elf_errmsg(-1));
    MORTISE_CHECK(check_header(path, elf.get(), static_cast<uint64_t>(info.st_size)));
    LibraryFacts facts;
    if (!find_note(elf.get(), facts))
        return refuse(Code::plugin_abi, path, "the library is no plugin: it has no note", "built with mortise_add_plugin", "no note 'Mortise'");
    if (facts.abi_major != MORTISE_ABI_MAJOR || facts.abi_minor > MORTISE_ABI_MINOR)
        return refuse(Code::plugin_abi, path, "the plugin needs another ABI",
                      std::to_string(MORTISE_ABI_MAJOR) + ".0 to " + std::to_string(MORTISE_ABI_MAJOR) + "." + std::to_string(MORTISE_ABI_MINOR),
                      std::to_string(facts.abi_major) + "." + std::to_string(facts.abi_minor),
                      "install the plugin for this version, or a newer core");
    return facts;
}

}  // namespace mortise::registry
