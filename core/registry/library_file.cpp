// Layout: System V ABI, chapters "Object Files" and "Program Loading"; read with libelf.
#include "registry/library_file.h"

#include <gelf.h>
#include <libelf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "mortise/abi_base.h"

namespace mortise::registry {

namespace {

struct CloseElf {
    void operator()(Elf* elf) const { elf_end(elf); }
};
using ElfHandle = std::unique_ptr<Elf, CloseElf>;

constexpr uint64_t max_note_bytes = 1u << 20;

std::unexpected<Error> not_elf(const File& file, std::string what, std::string expected, std::string found) {
    return fail(Problem{.code = Code::plugin_not_elf,
                        .what = std::move(what),
                        .file = file.path(),
                        .expected = std::move(expected),
                        .found = std::move(found),
                        .fix = "install the build of this plugin for this machine"});
}

std::unexpected<Error> truncated(const File& file, const std::string& what, uint64_t end) {
    return fail(Problem{.code = Code::plugin_truncated,
                        .what = what + " lies outside the file",
                        .file = file.path(),
                        .expected = "at least " + std::to_string(end) + " bytes",
                        .found = std::to_string(file.size()) + " bytes",
                        .fix = "copy or download the library again"});
}

// True when [offset, offset + bytes) lies in the file.
bool inside(const File& file, uint64_t offset, uint64_t bytes) {
    return offset <= file.size() && bytes <= file.size() - offset;
}

// Class, byte order and machine of this very program: a plugin must have the same.
struct Machine {
    std::array<unsigned char, EI_NIDENT> ident{};
    uint16_t machine = 0;
};

Result<Machine> own_machine() {
    MORTISE_TRY(const File program, File::open("/proc/self/exe"));
    std::array<std::byte, 20> head{};
    MORTISE_CHECK(program.read(0, head));
    Machine out;
    std::memcpy(out.ident.data(), head.data(), EI_NIDENT);
    std::memcpy(&out.machine, head.data() + 18, 2);
    return out;
}

Status check_header(const File& file, const GElf_Ehdr& header) {
    MORTISE_TRY(const Machine own, own_machine());
    if (header.e_ident[EI_CLASS] != own.ident[EI_CLASS] || header.e_ident[EI_DATA] != own.ident[EI_DATA] ||
        header.e_machine != own.machine)
        return not_elf(file, "the library is for another machine",
                       "ELF machine " + std::to_string(own.machine),
                       "ELF machine " + std::to_string(header.e_machine));
    if (header.e_type != ET_DYN)
        return not_elf(file, "the file is no shared library", "ELF type " + std::to_string(ET_DYN),
                       "ELF type " + std::to_string(header.e_type));
    const uint64_t sections = uint64_t{header.e_shnum} * header.e_shentsize;
    if (!inside(file, header.e_shoff, sections))
        return truncated(file, "the section table", header.e_shoff + sections);
    const uint64_t segments = uint64_t{header.e_phnum} * header.e_phentsize;
    if (!inside(file, header.e_phoff, segments))
        return truncated(file, "the segment table", header.e_phoff + segments);
    return {};
}

void read_note(Elf_Data& data, const GElf_Nhdr& head, size_t name_at, size_t descriptor_at,
               LibraryFacts& out) {
    const char* bytes = static_cast<const char*>(data.d_buf);
    const std::string_view owner(bytes + name_at, head.n_namesz ? head.n_namesz - 1 : 0);
    if (owner == "GNU" && head.n_type == NT_GNU_BUILD_ID) {
        constexpr char digits[] = "0123456789abcdef";
        for (size_t i = 0; i < head.n_descsz; ++i) {
            const auto byte = static_cast<unsigned char>(bytes[descriptor_at + i]);
            out.build_id += {digits[byte >> 4], digits[byte & 15]};
        }
    }
    if (owner != MORTISE_NOTE_NAME || head.n_type != MORTISE_NOTE_TYPE ||
        head.n_descsz < sizeof(mortise_note))
        return;
    mortise_note note;
    std::memcpy(&note, bytes + descriptor_at, sizeof note);
    out.abi_major = note.abi_major;
    out.abi_minor = note.abi_minor;
    out.id.assign(note.id, strnlen(note.id, sizeof note.id));
    out.version.assign(note.version, strnlen(note.version, sizeof note.version));
}

void read_notes(Elf* elf, const GElf_Phdr& segment, LibraryFacts& out) {
    if (segment.p_filesz > max_note_bytes) return;
    Elf_Data* data = elf_getdata_rawchunk(elf, static_cast<int64_t>(segment.p_offset), segment.p_filesz,
                                          segment.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
    if (!data) return;
    GElf_Nhdr head;
    size_t name_at = 0, descriptor_at = 0, offset = 0;
    while ((offset = gelf_getnote(data, offset, &head, &name_at, &descriptor_at)) > 0)
        read_note(*data, head, name_at, descriptor_at, out);
}

Status read_segments(const File& file, Elf* elf, LibraryFacts& out) {
    size_t count = 0;
    if (elf_getphdrnum(elf, &count) != 0) return truncated(file, "the segment table", file.size() + 1);
    for (size_t i = 0; i < count; ++i) {
        GElf_Phdr segment;
        if (!gelf_getphdr(elf, static_cast<int>(i), &segment))
            return truncated(file, "segment " + std::to_string(i), file.size() + 1);
        if (segment.p_type != PT_LOAD && segment.p_type != PT_NOTE && segment.p_type != PT_DYNAMIC) continue;
        if (!inside(file, segment.p_offset, segment.p_filesz))
            return truncated(file, "segment " + std::to_string(i), segment.p_offset + segment.p_filesz);
        if (segment.p_type == PT_NOTE) read_notes(elf, segment, out);
    }
    return {};
}

void read_symbols(Elf* elf, Elf_Scn* section, const GElf_Shdr& header, LibraryFacts& out) {
    Elf_Data* data = elf_getdata(section, nullptr);
    if (!data || header.sh_entsize == 0) return;
    out.has_symbols = true;
    for (uint64_t i = 0; i < header.sh_size / header.sh_entsize; ++i) {
        GElf_Sym symbol;
        if (!gelf_getsym(data, static_cast<int>(i), &symbol)) return;
        const char* text = elf_strptr(elf, header.sh_link, symbol.st_name);
        if (!text || !*text || GELF_ST_BIND(symbol.st_info) == STB_LOCAL) continue;
        (symbol.st_shndx == SHN_UNDEF ? out.imports : out.exports).emplace_back(text);
    }
}

void read_dynamic(Elf* elf, Elf_Scn* section, const GElf_Shdr& header, LibraryFacts& out) {
    Elf_Data* data = elf_getdata(section, nullptr);
    if (!data || header.sh_entsize == 0) return;
    for (uint64_t i = 0; i < header.sh_size / header.sh_entsize; ++i) {
        GElf_Dyn entry;
        if (!gelf_getdyn(data, static_cast<int>(i), &entry)) return;
        if (entry.d_tag != DT_NEEDED) continue;
        if (const char* text = elf_strptr(elf, header.sh_link, entry.d_un.d_val))
            out.needed.emplace_back(text);
    }
}

void read_sections(Elf* elf, LibraryFacts& out) {
    for (Elf_Scn* section = elf_nextscn(elf, nullptr); section; section = elf_nextscn(elf, section)) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header)) return;
        if (header.sh_type == SHT_DYNSYM) read_symbols(elf, section, header, out);
        if (header.sh_type == SHT_DYNAMIC) read_dynamic(elf, section, header, out);
    }
    std::ranges::sort(out.exports);
    std::ranges::sort(out.imports);
}

Status check_plugin(const File& file, const LibraryFacts& facts) {
    if (facts.id.empty())
        return fail(Problem{.code = Code::plugin_abi,
                            .what = "the library is no Mortise plugin: it has no plugin note",
                            .file = file.path(),
                            .fix = "build it with mortise_add_plugin()"});
    // Without a symbol table in the file the dynamic linker will tell.
    if (!facts.has_symbols || std::ranges::binary_search(facts.exports, MORTISE_PLUGIN_SYMBOL)) return {};
    return fail(Problem{.code = Code::plugin_abi,
                        .what = "the library does not export its entry point",
                        .file = file.path(),
                        .expected = MORTISE_PLUGIN_SYMBOL,
                        .found = std::to_string(facts.exports.size()) + " other symbols",
                        .fix = "build it with mortise_add_plugin()"});
}

}  // namespace

std::vector<std::string> forbidden_imports(const LibraryFacts& facts) {
    static constexpr std::array<std::string_view, 15> forbidden{
        "_Exit",  "_exit",     "at_quick_exit", "atexit", "exit",   "fork",     "putenv", "quick_exit",
        "setenv", "setlocale", "sigaction",     "signal", "system", "unsetenv", "vfork"};
    std::vector<std::string> out;
    for (const std::string& symbol : facts.imports)
        if (std::ranges::find(forbidden, symbol) != forbidden.end()) out.push_back(symbol);
    return out;
}

Result<LibraryFacts> examine(const File& file) {
    elf_version(EV_CURRENT);
    std::array<std::byte, SELFMAG> magic{};
    if (file.size() < magic.size() || !file.read(0, magic) || std::memcmp(magic.data(), ELFMAG, SELFMAG) != 0)
        return not_elf(file, "the file is no library", "an ELF shared library",
                       file.size() == 0 ? "an empty file" : "other contents");
    const ElfHandle elf(elf_begin(file.descriptor(), ELF_C_READ, nullptr));
    GElf_Ehdr header;
    if (!elf || elf_kind(elf.get()) != ELF_K_ELF || !gelf_getehdr(elf.get(), &header))
        return truncated(file, "the ELF header", sizeof(Elf64_Ehdr));
    MORTISE_CHECK(check_header(file, header));
    LibraryFacts out;
    MORTISE_CHECK(read_segments(file, elf.get(), out));
    read_sections(elf.get(), out);
    MORTISE_CHECK(check_plugin(file, out));
    return out;
}

Result<LibraryFacts> examine(const std::string& path) {
    MORTISE_TRY(const File file, File::open(path));
    return examine(file);
}

}  // namespace mortise::registry
