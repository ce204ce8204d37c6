/* SPDX-License-Identifier: Apache-2.0 */
/* elf_file.h - what a shared object says without being loaded.
 *
 * Every offset and count in the file is hostile: it is compared with the file's size before it is used. */
#ifndef HOST_ELF_FILE_H
#define HOST_ELF_FILE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A look into the bytes of one file; borrows them. */
struct elf {
    const uint8_t *data;
    size_t size;
    const Elf64_Shdr *sections; /* inside data, n of them, aligned by elf_open's caller (malloc or mmap) */
    size_t n_sections;
    const char *names; /* section names, ended by a zero within names_size */
    size_t names_size;
};

/* Check that the bytes are a shared object for this machine and find its sections. 0, or -1 with one clause
 * in why
 * ("is not an ELF file"). `data` is aligned to 8 bytes. */
int elf_open(struct elf *elf, const void *data, size_t size, char *why, size_t why_size);

/* The bytes of a section, or NULL; *size is its length. */
const void *elf_section(const struct elf *elf, const char *name, size_t *size);

/* Calls visit for each symbol that the file exports. False when the tables are damaged. */
bool elf_each_export(const struct elf *elf, void (*visit)(void *arg, const char *name), void *arg);

/* The same for each symbol that it takes from elsewhere. */
bool elf_each_import(const struct elf *elf, void (*visit)(void *arg, const char *name), void *arg);

/* True when loading it takes static TLS, which a program has little of. */
bool elf_has_static_tls(const struct elf *elf);

/* Calls visit for each function that runs when the file is loaded; name is "" where the file keeps no
 * symbols. */
void elf_each_constructor(const struct elf *elf, void (*visit)(void *arg, const char *name), void *arg);

#endif
