// SPDX-License-Identifier: Apache-2.0
// Write the logits of small models, bit for bit, so that the device's can be compared with the emulation's.
#include "side.h"

int main() {
    const uint32_t types[] = {QUANT_F32,  QUANT_F16,  QUANT_BF16, QUANT_Q8_0, QUANT_Q4_0, QUANT_Q4_1,
                              QUANT_Q5_0, QUANT_Q5_1, QUANT_Q4_K, QUANT_Q5_K, QUANT_Q6_K};

    for (const char *arch : {"llama", "qwen2", "qwen3", "gemma3"})
        for (uint32_t type : types) {
            tiny_sizes sizes;
            sizes.arch = arch;
            sizes.type = type;
            sizes.window = std::string(arch) == "gemma3" ? 16 : 0;
            const tiny_file file(sizes);
            side device(file.path, 1, 512);
            const std::vector<int32_t> ids = some_text(20, side_n_vocab(device.s), 4);

            for (uint32_t chunk : {2u, 6u, 20u}) {
                const std::vector<float> logits = device.logits(ids, chunk);
                if (device.err)
                    return 1;
                fwrite(logits.data(), sizeof(float), logits.size(), stdout);
            }
        }
    return 0;
}
