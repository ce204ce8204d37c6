// SPDX-License-Identifier: Apache-2.0
// The plugin file on any machine: it loads without a driver, says whether it can run, and on a machine where
// it cannot, open() fails with the reason instead of a crash. TELEX_CUDA_SO names it.
#include <dlfcn.h>
#include <stdlib.h>

#include "check.h"

extern "C" {
#include <telex/plugin.h>
#include <telex/model.h>
}

namespace {

char last_failure[2048];

void hear(const telex_host *, int32_t, telex_lease, telex_bytes) {}
telex_status note_failure(const telex_host *, telex_lease, telex_status status, telex_bytes why) {
    snprintf(last_failure, sizeof(last_failure), "%.*s", static_cast<int>(why.size),
             reinterpret_cast<const char *>(why.data));
    return status;
}

const telex_model *load() {
    void *so = dlopen(getenv("TELEX_CUDA_SO"), RTLD_NOW | RTLD_LOCAL);
    const telex_plugin *(*entry)(uint32_t) = nullptr;

    if (!so) {
        printf("%s\n", dlerror());
        return nullptr;
    }
    *reinterpret_cast<void **>(&entry) = dlsym(so, "telex_entry_v1");
    return entry ? static_cast<const telex_model *>(entry(TELEX_ABI_MINOR)->provides(TELEX_CLASS_MODEL)[0])
                 : nullptr;
}

TEST(it_loads_without_a_driver_and_open_says_what_is_missing) {
    const telex_model *model = load();
    telex_host host = {};
    /* {"path": "/nowhere.gguf"} in msgpack */
    const uint8_t options[] = "\x81\xa4path\xad/nowhere.gguf";
    void *self = nullptr;

    CHECK(model != nullptr);
    if (!model)
        return;
    host.size = sizeof(host);
    host.log = hear;
    host.fail = note_failure;
    CHECK(model->open(&host, {options, sizeof(options) - 1}, &self) == TELEX_FATAL);
    CHECK(self == nullptr);
    printf("  probe %d; open: %s\n", model->probe(), last_failure);
    if (model->probe() == 0)
        CHECK(has_text(last_failure, "use model-cpu"));
    else
        CHECK(has_text(last_failure, "/nowhere.gguf"));
}

TEST(it_does_not_load_cublas_before_it_is_wanted) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    bool found = false;

    CHECK(load() != nullptr && maps != nullptr);
    while (maps && fgets(line, sizeof(line), maps))
        found = found || strstr(line, "cublas");
    if (maps)
        fclose(maps);
    CHECK(!found);
}

} // namespace

int main() {
    return run_tests();
}
