/* SPDX-License-Identifier: Apache-2.0 */
/* trust_test.c - what was checked is what is loaded, whatever happens to the file; and the files of locks,
 * keys and signatures against changes of any byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <telex-sdk/id.h>

#include "loader.h"
#include "plugin_file.h"
#include "trust.h"

enum { SWAPS = 60 };

static char folder[64];
static struct plugin_file original; /* tests/plugins/stage-noop.so */

/* Variants of the plugin differ in one letter of its doc, in the manifest and in the class. */
static const char doc[] = "passes every record on as it is";

static void variant(unsigned char *out, char letter) {
    memcpy(out, original.data, original.size);
    for (unsigned char *at = out, *end = out + original.size;
         (at = memmem(at, (size_t)(end - at), doc, sizeof(doc) - 1)); at++)
        *at = (unsigned char)letter;
}

static void path_of(char out[PATH_MAX], const char *name) {
    snprintf(out, PATH_MAX, "%s/%s", folder, name);
}

static void put_file(const char *path, const void *data, size_t size) {
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
}

/* Put a variant where the plugin is, in one step. Its sha256 goes to out. */
static void put_variant(char letter, char out[65]) {
    char path[PATH_MAX], temp[PATH_MAX];
    unsigned char *bytes = malloc(original.size);
    assert_non_null(bytes);
    variant(bytes, letter);
    struct telex_bytes all = {bytes, original.size};
    telex_sha256_hex(out, all);
    path_of(path, "stage-noop.so");
    path_of(temp, "next");
    put_file(temp, bytes, original.size);
    assert_int_equal(rename(temp, path), 0);
    free(bytes);
}

static struct trust *pin(const char *sha256) {
    char why[200];
    struct trust *trust = calloc(1, sizeof(*trust));
    assert_non_null(trust);
    trust->require = TRUST_LOCK;
    trust->lock_path = strdup("plugins.lock");
    assert_int_equal(lock_add(&trust->lock, "stage-noop", "0.1.0", sha256, "stage-noop.so", why, sizeof(why)),
                     0);
    return trust;
}

static struct registry *registry_of(const char *sha256) {
    const char *const dirs[] = {folder, NULL};
    struct registry *registry = registry_create(dirs);
    assert_non_null(registry);
    registry_set_trust(registry, pin(sha256));
    return registry;
}

/* The first letter of the doc of what is loaded. */
static char loaded(const struct plugin_desc *desc) {
    char why[600] = "";
    const struct telex_stage *stage = plugin_load(desc, why, sizeof(why));
    if (!stage)
        fail_msg("%s", why);
    return *stage->doc;
}

static int begin(void **state) {
    char why[200];
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/telex-trust-XXXXXX");
    return mkdtemp(folder) ? plugin_file_read(&original, getenv("TELEX_TEST_PLUGIN"), why, sizeof(why)) : -1;
}

static int end(void **state) {
    static const char *const names[] = {"stage-noop.so", "other.so", "next",          "plugins.lock",
                                        "a.key",         "a.pub",    "other.minisig", "x"};
    char path[PATH_MAX];
    (void)state;
    plugin_file_finish(&original);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        path_of(path, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

/* ---- loading ---- */

static void a_file_that_was_replaced_after_the_check_is_not_loaded(void **state) {
    char sha256[65], other[65], why[600];
    (void)state;
    put_variant('A', sha256);
    struct registry *registry = registry_of(sha256);
    const struct plugin_desc *desc = registry_find(registry, "stage-noop", why, sizeof(why));
    assert_non_null(desc);
    put_variant('B', other);
    assert_string_not_equal(sha256, other);
    assert_int_equal(loaded(desc), 'A');
    registry_destroy(registry);
}

static void a_file_that_was_written_to_after_the_check_is_not_loaded(void **state) {
    char sha256[65], why[600], path[PATH_MAX];
    unsigned char *bytes = malloc(original.size);
    (void)state;
    assert_non_null(bytes);
    put_variant('C', sha256);
    struct registry *registry = registry_of(sha256);
    const struct plugin_desc *desc = registry_find(registry, "stage-noop", why, sizeof(why));
    assert_non_null(desc);
    variant(bytes, 'D');
    path_of(path, "stage-noop.so");
    int fd = open(path, O_WRONLY | O_CLOEXEC); /* the same inode */
    assert_int_equal(pwrite(fd, bytes, original.size, 0), original.size);
    assert_int_equal(loaded(desc), 'C');
    assert_int_equal(ftruncate(fd, 0), 0);
    close(fd);
    assert_int_equal(loaded(desc), 'C');
    registry_destroy(registry);
    free(bytes);
}

static void what_was_checked_cannot_be_written_to(void **state) {
    char sha256[65], why[600], path[PATH_MAX];
    (void)state;
    put_variant('E', sha256);
    struct registry *registry = registry_of(sha256);
    const struct plugin_desc *desc = registry_find(registry, "stage-noop", why, sizeof(why));
    assert_non_null(desc);
    assert_true(desc->image > 0);
    assert_true(fcntl(desc->image, F_GETFD) & FD_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", desc->image);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        assert_int_equal(pwrite(fd, "x", 1, 0), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(ftruncate(fd, 10), -1);
        assert_ptr_equal(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, 0), -1);
        close(fd);
    }
    assert_int_equal(loaded(desc), 'E');
    registry_destroy(registry);
}

static void an_image_with_other_bytes_or_without_seals_is_refused(void **state) {
    char sha256[65], other[65], why[600], name[] = "stage-noop", path[] = "there.so";
    (void)state;
    put_variant('F', sha256);
    struct registry *registry = registry_of(sha256);
    const struct plugin_desc *desc = registry_find(registry, "stage-noop", why, sizeof(why));
    assert_non_null(desc);
    put_variant('G', other);
    struct plugin_desc told = {name, path, other, NULL, NULL, NULL, desc->image, TELEX_CLASS_STAGE, NULL};
    assert_null(plugin_load(&told, why, sizeof(why)));
    assert_string_equal(why, "there.so: differs in memory from the file");
    told.sha256 = sha256;
    told.image = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(told.image, original.data, original.size), original.size);
    assert_null(plugin_load(&told, why, sizeof(why)));
    assert_string_equal(why, "there.so: is not in sealed memory");
    close(told.image);
    registry_destroy(registry);
}

static void the_number_of_a_loaded_image_is_not_given_to_another(void **state) {
    char sha256[65], why[600];
    (void)state;
    for (char letter = 'H'; letter < 'N';
         letter++) { /* each registry's image may get the number of the last */
        put_variant(letter, sha256);
        struct registry *registry = registry_of(sha256);
        const struct plugin_desc *desc = registry_find(registry, "stage-noop", why, sizeof(why));
        assert_non_null(desc);
        assert_int_equal(loaded(desc), letter);
        registry_destroy(registry);
    }
}

static atomic_bool swapping;

static void *swap_on_and_on(void *arg) {
    char sha256[65];
    (void)arg;
    for (unsigned i = 0; atomic_load(&swapping); i++)
        put_variant(i % 2 ? 'P' : 'Q', sha256);
    return NULL;
}

static void whenever_the_file_is_swapped_only_the_pinned_one_is_described_and_loaded(void **state) {
    char sha256[65], why[600];
    pthread_t thread;
    int n_loaded = 0, n_refused = 0;
    (void)state;
    put_variant('P', sha256);
    atomic_store(&swapping, true);
    assert_int_equal(pthread_create(&thread, NULL, swap_on_and_on, NULL), 0);
    for (int i = 0; i < SWAPS || n_loaded == 0; i++) {
        struct registry *registry = registry_of(sha256);
        const struct plugin_desc *desc = registry_find(registry, "stage-noop", why, sizeof(why));
        if (desc) {
            assert_string_equal(desc->sha256, sha256);
            assert_int_equal(*desc->doc, 'P');
            assert_int_equal(loaded(desc), 'P');
            n_loaded++;
        } else {
            assert_true(registry_distrusts(registry) || strstr(why, "cannot be read"));
            n_refused++;
        }
        registry_destroy(registry);
        assert_true(i < 100 * SWAPS);
    }
    atomic_store(&swapping, false);
    pthread_join(thread, NULL);
    print_message("%d loaded, %d refused\n", n_loaded, n_refused);
}

static void a_new_trust_asks_about_every_plugin_anew(void **state) {
    char sha256[65], other[65], why[600];
    (void)state;
    put_variant('R', other);
    put_variant('S', sha256);
    struct registry *registry = registry_of(sha256);
    assert_non_null(registry_find(registry, "stage-noop", why, sizeof(why)));
    registry_set_trust(registry, pin(other));
    assert_null(registry_find(registry, "stage-noop", why, sizeof(why)));
    assert_true(registry_distrusts(registry));
    assert_non_null(strstr(why, "is not the file that plugins.lock pins"));
    registry_set_trust(registry, NULL);
    assert_false(registry_distrusts(registry));
    assert_non_null(registry_find(registry, "stage-noop", why, sizeof(why)));
    registry_destroy(registry);
}

/* ---- signatures ---- */

struct signed_file {
    char path[PATH_MAX], signature_path[PATH_MAX];
    struct minisign_public key;
    char *signature; /* owned */
};

static void sign(struct signed_file *file) {
    struct minisign_secret secret;
    struct telex_bytes bytes = {original.data, original.size};
    path_of(file->path, "other");
    path_of(file->signature_path, "other.minisig");
    assert_int_equal(minisign_generate(&secret, &file->key), 0);
    file->signature = minisign_sign(&secret, bytes, "telex plugin other 0.1.0");
    assert_non_null(file->signature);
    put_file(file->signature_path, file->signature, strlen(file->signature));
}

static int state_of(const struct signed_file *file, struct telex_bytes bytes) {
    struct signature_report report;
    trust_signature(&file->key, 1, file->path, bytes, &report);
    assert_true(report.state == SIGNATURE_GOOD || *report.why);
    return report.state;
}

static void a_signature_holds_for_its_bytes_alone(void **state) {
    struct signed_file file;
    unsigned char *bytes = malloc(original.size);
    struct telex_bytes all = {bytes, original.size}, shorter = {bytes, original.size - 1};
    (void)state;
    assert_non_null(bytes);
    memcpy(bytes, original.data, original.size);
    sign(&file);
    assert_int_equal(state_of(&file, all), SIGNATURE_GOOD);
    assert_int_equal(state_of(&file, shorter), SIGNATURE_BAD);
    for (size_t i = 0; i < 200; i++) {
        size_t at = i * 7919 % original.size;
        bytes[at] ^= (unsigned char)(1 << i % 8);
        assert_int_equal(state_of(&file, all), SIGNATURE_BAD);
        bytes[at] ^= (unsigned char)(1 << i % 8);
    }
    unlink(file.signature_path);
    assert_int_equal(state_of(&file, all), SIGNATURE_NONE);
    free(file.signature);
    free(bytes);
}

/* Every letter but those of the untrusted comment counts. */
static void no_letter_of_a_signature_can_change(void **state) {
    struct signed_file file;
    struct telex_bytes all = {original.data, original.size};
    (void)state;
    sign(&file);
    size_t n = strlen(file.signature), first_line = strcspn(file.signature, "\n");
    for (size_t i = first_line; i < n - 1; i++) {
        char was = file.signature[i];
        file.signature[i] = was == 'A' ? 'B' : 'A';
        put_file(file.signature_path, file.signature, n);
        int got = state_of(&file, all);
        file.signature[i] = was;
        if (got == SIGNATURE_GOOD) /* the last letter before the padding has two bits that say nothing */
            fail_msg("letter %zu of %zu: state %d", i, n, got);
    }
    for (size_t i = 0; i < n - 1; i++) { /* cut short anywhere */
        put_file(file.signature_path, file.signature, i);
        assert_int_not_equal(state_of(&file, all), SIGNATURE_GOOD);
    }
    free(file.signature);
}

static void another_key_with_the_same_id_is_another_key(void **state) {
    struct signed_file file;
    struct signature_report report;
    struct minisign_secret secret;
    struct minisign_public keys[2];
    struct telex_bytes all = {original.data, original.size};
    (void)state;
    sign(&file);
    assert_int_equal(minisign_generate(&secret, &keys[0]), 0);
    trust_signature(keys, 1, file.path, all, &report);
    assert_int_equal(report.state, SIGNATURE_UNKNOWN);
    memcpy(keys[0].id, file.key.id, sizeof(keys[0].id));
    trust_signature(keys, 1, file.path, all, &report);
    assert_int_equal(report.state, SIGNATURE_BAD);
    keys[1] = file.key; /* beside the right one it does no harm */
    trust_signature(keys, 2, file.path, all, &report);
    assert_int_equal(report.state, SIGNATURE_GOOD);
    free(file.signature);
}

static void a_secret_key_comes_back_from_its_file(void **state) {
    struct minisign_secret secret, again;
    struct minisign_public public_key;
    char path[PATH_MAX], why[300];
    (void)state;
    path_of(path, "a.key");
    assert_int_equal(minisign_generate(&secret, &public_key), 0);
    char *text = minisign_secret_text(&secret);
    put_file(path, text, strlen(text));
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(minisign_secret_read(&again, path, why, sizeof(why)), -1);
    assert_non_null(strstr(why, "may be opened by others than its owner (mode 0644); chmod 600 it"));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(minisign_secret_read(&again, path, why, sizeof(why)), 0);
    assert_memory_equal(&again, &secret, sizeof(secret));
    for (size_t i = strcspn(text, "\n") + 1; i < strlen(text) - 1;
         i++) { /* salt and limits mean nothing here */
        char was = text[i];
        text[i] = was == 'A' ? 'B' : 'A';
        put_file(path, text, strlen(text));
        if (minisign_secret_read(&again, path, why, sizeof(why)) == 0)
            assert_memory_equal(&again, &secret, sizeof(secret));
        text[i] = was;
    }
    free(text);
}

/* ---- the lock ---- */

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void a_lock_is_sorted_and_comes_back(void **state) {
    struct lock lock = {0}, again;
    char path[PATH_MAX], why[300];
    (void)state;
    path_of(path, "plugins.lock");
    assert_int_equal(lock_add(&lock, "b", "1.0", SHA, "/with a space/b.so", why, sizeof(why)), 0);
    assert_int_equal(lock_add(&lock, "a", "2.0", SHA, "/a.so", why, sizeof(why)), 0);
    assert_int_equal(lock_add(&lock, "b", "1.1", SHA, "/with a space/b.so", why, sizeof(why)), 0);
    assert_int_equal(lock_write(&lock, path), 0);
    assert_int_equal(lock_read(&again, path, why, sizeof(why)), 0);
    assert_int_equal(again.n, 2);
    assert_string_equal(again.items[0].name, "a");
    assert_string_equal(again.items[1].version, "1.1");
    assert_string_equal(again.items[1].file, "/with a space/b.so");
    assert_int_equal(lock_add(&lock, "c", "1 0", SHA, "/c.so", why, sizeof(why)), -1);
    assert_int_equal(lock_add(&lock, "c", "1", SHA, "/c\n.so", why, sizeof(why)), -1);
    lock_finish(&lock);
    lock_finish(&again);
}

static void a_damaged_lock_is_refused_with_its_line(void **state) {
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"a 1 " SHA "\n",
         "line 1 is no NAME VERSION SHA256 FILE; write the file again with `telex plugins lock`"},
        {"# x\n\na 1 " SHA " /a.so\na 1 " SHA " /b.so\n", "line 4 names a again; write"},
        {"a 1 abc /a.so\n", "line 1 a cannot stand in a lock"},
        {"a  " SHA " /a.so\n", "line 1 a cannot stand in a lock: its version"},
    };
    struct lock lock;
    char path[PATH_MAX], why[300];
    (void)state;
    path_of(path, "plugins.lock");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        put_file(path, cases[i].text, strlen(cases[i].text));
        assert_int_equal(lock_read(&lock, path, why, sizeof(why)), -1);
        assert_ptr_equal(strstr(why, cases[i].why), why);
        lock_finish(&lock);
    }
    put_file(path, "a\0b", 3);
    assert_int_equal(lock_read(&lock, path, why, sizeof(why)), -1);
    unlink(path);
    assert_int_equal(lock_read(&lock, path, why, sizeof(why)), -ENOENT);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], PLUGIN_DESCRIBE_FLAG) == 0)
        return plugin_describe_main(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_was_replaced_after_the_check_is_not_loaded),
        cmocka_unit_test(a_file_that_was_written_to_after_the_check_is_not_loaded),
        cmocka_unit_test(what_was_checked_cannot_be_written_to),
        cmocka_unit_test(an_image_with_other_bytes_or_without_seals_is_refused),
        cmocka_unit_test(the_number_of_a_loaded_image_is_not_given_to_another),
        cmocka_unit_test(whenever_the_file_is_swapped_only_the_pinned_one_is_described_and_loaded),
        cmocka_unit_test(a_new_trust_asks_about_every_plugin_anew),
        cmocka_unit_test(a_signature_holds_for_its_bytes_alone),
        cmocka_unit_test(no_letter_of_a_signature_can_change),
        cmocka_unit_test(another_key_with_the_same_id_is_another_key),
        cmocka_unit_test(a_secret_key_comes_back_from_its_file),
        cmocka_unit_test(a_lock_is_sorted_and_comes_back),
        cmocka_unit_test(a_damaged_lock_is_refused_with_its_line),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
