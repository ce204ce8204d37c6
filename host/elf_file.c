/* SPDX-License-Identifier: Apache-2.0 */
/* elf_file.c - a bounds-checked reader of 64-bit shared objects.
 *
 * `table` is the only way to an array inside the file: it answers only for arrays that lie in it, whole and
 * aligned. */
#include "elf_file.h"

#include <stdio.h>
#include <string.h>

enum { SECTIONS_MAX = 4096, CONSTRUCTORS_MAX = 256 };

#if defined(__x86_64__)
#define MACHINE      EM_X86_64
#define MACHINE_NAME "x86-64"
#define RELATIVE     R_X86_64_RELATIVE
#elif defined(__aarch64__)
#define MACHINE      EM_AARCH64
#define MACHINE_NAME "aarch64"
#define RELATIVE     R_AARCH64_RELATIVE
#else
#error "telex knows no ELF machine for this processor"
#endif

static int refuse(char *why, size_t why_size, const char *what) {
    snprintf(why, why_size, "%s", what);
    return -1;
}

/* `count` elements of `each` bytes at `offset`, or NULL. */
static const void *table(const struct elf *elf, uint64_t offset, uint64_t count, size_t each) {
    if (offset % 8 != 0 && each > 1)
        return NULL;
    if (offset > elf->size || count > (elf->size - offset) / each)
        return NULL;
    return elf->data + offset;
}

static const char *machine_name(unsigned machine) {
    switch (machine) {
    case EM_X86_64:
        return "x86-64";
    case EM_386:
        return "32-bit x86";
    case EM_AARCH64:
        return "aarch64";
    case EM_ARM:
        return "32-bit arm";
    case EM_RISCV:
        return "risc-v";
    default:
        return "another machine";
    }
}

static int check_header(const struct elf *elf, const Elf64_Ehdr **out, char *why, size_t why_size) {
    if (elf->size < EI_NIDENT || memcmp(elf->data, ELFMAG, SELFMAG) != 0)
        return refuse(why, why_size, "is not an ELF file");
    const Elf64_Ehdr *head = table(elf, 0, 1, sizeof(*head));
    if (!head)
        return refuse(why, why_size, "is cut short: it has no whole ELF header");
    if (head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_ident[EI_DATA] != ELFDATA2LSB ||
        head->e_machine != MACHINE) {
        snprintf(why, why_size, "was built for %s, this telex for " MACHINE_NAME,
                 head->e_ident[EI_DATA] == ELFDATA2LSB ? machine_name(head->e_machine)
                                                       : "another byte order");
        return -1;
    }
    if (head->e_type != ET_DYN)
        return refuse(why, why_size, "is no shared object");
    *out = head;
    return 0;
}

int elf_open(struct elf *elf, const void *data, size_t size, char *why, size_t why_size) {
    const Elf64_Ehdr *head;
    memset(elf, 0, sizeof(*elf));
    elf->data = data;
    elf->size = size;
    if (check_header(elf, &head, why, why_size) < 0)
        return -1;
    if (head->e_shoff == 0 || head->e_shnum == 0 || head->e_shnum > SECTIONS_MAX)
        return refuse(why, why_size, "has no section headers");
    const Elf64_Shdr *sections = head->e_shentsize == sizeof(*sections)
                                     ? table(elf, head->e_shoff, head->e_shnum, sizeof(*sections))
                                     : NULL;
    if (!sections || head->e_shstrndx >= head->e_shnum)
        return refuse(why, why_size, "is damaged: its section headers lie outside the file");
    const Elf64_Shdr *strings = &sections[head->e_shstrndx];
    const char *names =
        strings->sh_type == SHT_STRTAB ? table(elf, strings->sh_offset, strings->sh_size, 1) : NULL;
    if (!names || strings->sh_size == 0 || names[strings->sh_size - 1] != 0)
        return refuse(why, why_size, "is damaged: its section names lie outside the file");
    elf->sections = sections;
    elf->n_sections = head->e_shnum;
    elf->names = names;
    elf->names_size = strings->sh_size;
    return 0;
}

const void *elf_section(const struct elf *elf, const char *name, size_t *size) {
    *size = 0;
    for (size_t i = 0; i < elf->n_sections; i++) {
        const Elf64_Shdr *section = &elf->sections[i];
        if (section->sh_name >= elf->names_size || strcmp(elf->names + section->sh_name, name) != 0)
            continue;
        const void *data =
            section->sh_type == SHT_NOBITS ? NULL : table(elf, section->sh_offset, section->sh_size, 1);
        *size = data ? section->sh_size : 0;
        return data;
    }
    return NULL;
}

/* A table of a type with the strings that its names point into. */
struct linked {
    const void *data;
    size_t count;
    const char *strings; /* ended by a zero */
    size_t strings_size;
};

static bool find_linked(const struct elf *elf, uint32_t type, size_t each, struct linked *out) {
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < elf->n_sections; i++) {
        const Elf64_Shdr *section = &elf->sections[i];
        if (section->sh_type != type)
            continue;
        out->count = section->sh_size / each;
        out->data = table(elf, section->sh_offset, out->count, each);
        if (!out->data || section->sh_link >= elf->n_sections)
            return false;
        const Elf64_Shdr *strings = &elf->sections[section->sh_link];
        out->strings = table(elf, strings->sh_offset, strings->sh_size, 1);
        out->strings_size = strings->sh_size;
        return out->strings && out->strings_size > 0 && out->strings[out->strings_size - 1] == 0;
    }
    return false;
}

/* Calls visit for each dynamic symbol that is not local: those that are defined here and seen outside, or
 * those that are not. */
static bool each_symbol(const struct elf *elf, bool defined, void (*visit)(void *arg, const char *name),
                        void *arg) {
    struct linked symbols;
    if (!find_linked(elf, SHT_DYNSYM, sizeof(Elf64_Sym), &symbols))
        return false;
    for (size_t i = 1; i < symbols.count; i++) {
        const Elf64_Sym *symbol = (const Elf64_Sym *)symbols.data + i;
        unsigned bind = ELF64_ST_BIND(symbol->st_info), seen = ELF64_ST_VISIBILITY(symbol->st_other);
        if ((symbol->st_shndx != SHN_UNDEF) != defined || bind == STB_LOCAL ||
            (defined && seen != STV_DEFAULT && seen != STV_PROTECTED))
            continue;
        if (symbol->st_name >= symbols.strings_size)
            return false;
        visit(arg, symbols.strings + symbol->st_name);
    }
    return true;
}

bool elf_each_export(const struct elf *elf, void (*visit)(void *arg, const char *name), void *arg) {
    return each_symbol(elf, true, visit, arg);
}

bool elf_each_import(const struct elf *elf, void (*visit)(void *arg, const char *name), void *arg) {
    return each_symbol(elf, false, visit, arg);
}

static bool dynamic_value(const struct elf *elf, int64_t tag, uint64_t *out) {
    struct linked dynamic;
    if (!find_linked(elf, SHT_DYNAMIC, sizeof(Elf64_Dyn), &dynamic))
        return false;
    for (size_t i = 0; i < dynamic.count; i++) {
        const Elf64_Dyn *entry = (const Elf64_Dyn *)dynamic.data + i;
        if (entry->d_tag == DT_NULL)
            break;
        if (entry->d_tag == tag) {
            *out = entry->d_un.d_val;
            return true;
        }
    }
    return false;
}

bool elf_has_static_tls(const struct elf *elf) {
    uint64_t flags;
    return dynamic_value(elf, DT_FLAGS, &flags) && (flags & DF_STATIC_TLS);
}

static const char *function_at(const struct elf *elf, uint64_t address) {
    struct linked symbols;
    if (!find_linked(elf, SHT_SYMTAB, sizeof(Elf64_Sym), &symbols))
        return "";
    for (size_t i = 0; i < symbols.count; i++) {
        const Elf64_Sym *symbol = (const Elf64_Sym *)symbols.data + i;
        if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_value == address &&
            symbol->st_name < symbols.strings_size)
            return symbols.strings + symbol->st_name;
    }
    return "";
}

/* The address that a relocation writes into the slot at `slot`; 0 when it cannot be told. */
static uint64_t relocated(const struct elf *elf, uint64_t slot) {
    for (size_t i = 0; i < elf->n_sections; i++) {
        const Elf64_Shdr *section = &elf->sections[i];
        size_t count = section->sh_size / sizeof(Elf64_Rela);
        const Elf64_Rela *rela =
            section->sh_type == SHT_RELA ? table(elf, section->sh_offset, count, sizeof(*rela)) : NULL;
        for (size_t k = 0; rela && k < count; k++)
            if (rela[k].r_offset == slot)
                return ELF64_R_TYPE(rela[k].r_info) == RELATIVE ? (uint64_t)rela[k].r_addend : 0;
    }
    return 0;
}

void elf_each_constructor(const struct elf *elf, void (*visit)(void *arg, const char *name), void *arg) {
    uint64_t at, bytes;
    if (!dynamic_value(elf, DT_INIT_ARRAY, &at) || !dynamic_value(elf, DT_INIT_ARRAYSZ, &bytes))
        return;
    for (uint64_t i = 0; i < bytes / 8 && i < CONSTRUCTORS_MAX; i++) {
        uint64_t address = relocated(elf, at + 8 * i);
        visit(arg, address ? function_at(elf, address) : "");
    }
}
