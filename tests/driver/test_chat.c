/* SPDX-License-Identifier: Apache-2.0 */
/* The chat templates, written out: what each gives for a conversation, and that texts cannot add to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <driver/chat.h>
#include <telex-sdk/message.h>

/* A vocabulary of bytes and the control tokens of every template; bytes are 0 to 255, controls follow. */
static const char *const controls[] = {"<|im_start|>",      "<|im_end|>",    "<|start_header_id|>",
                                       "<|end_header_id|>", "<|eot_id|>",    "<|begin_of_text|>",
                                       "<start_of_turn>",   "<end_of_turn>", "<bos>"};
enum { N_CONTROLS = sizeof(controls) / sizeof(controls[0]) };

static int64_t tokenize(void *self, struct telex_bytes text, uint32_t flags, int32_t *ids,
                        uint64_t capacity) {
    (void)self;
    uint64_t n = 0;
    for (uint64_t at = 0; at < text.size; n++) {
        int32_t id = text.data[at];
        uint64_t size = 1;
        for (int i = 0; i < N_CONTROLS && (flags & TELEX_TOKENIZE_CONTROL); i++) {
            uint64_t length = strlen(controls[i]);
            if (length <= text.size - at && memcmp(text.data + at, controls[i], length) == 0) {
                id = 256 + i;
                size = length;
            }
        }
        if (n < capacity)
            ids[n] = id;
        at += size;
    }
    return (int64_t)n;
}

static const struct telex_model bytes_model = {.size = sizeof(bytes_model), .tokenize = tokenize};

/* Control tokens stand between brackets, so that a text that spells one looks different. */
static char *rendered(const char *template, int32_t bos, const struct telex_message *const *messages,
                      uint32_t n) {
    struct telex_model_info info = {.size = sizeof(info), .chat = template, .bos = bos, .add_bos = bos >= 0};
    struct chat chat;
    struct token_list list = {0};
    char why[256] = "", *out = NULL;
    size_t size;
    if (chat_open(&bytes_model, NULL, &info, &chat, why, sizeof(why)) != TELEX_OK)
        fail_msg("%s", why);
    assert_int_equal(chat_tokens(&chat, &bytes_model, NULL, messages, n, &list), TELEX_OK);
    FILE *stream = open_memstream(&out, &size);
    for (uint32_t i = 0; i < list.n; i++) {
        if (list.items[i] >= 256)
            fprintf(stream, "[%s]", controls[list.items[i] - 256]);
        else
            fputc(list.items[i], stream);
    }
    fclose(stream);
    free(list.items);
    return out;
}

#define MESSAGE(role_, text_)                                                                                \
    &(struct telex_message) {                                                                                \
        .size = sizeof(struct telex_message), .role = role_, .text = telex_text(text_)                       \
    }

static void each_template_gives_its_turns(void **state) {
    (void)state;
    const struct telex_message *const talk[] = {
        MESSAGE(TELEX_ROLE_SYSTEM, "Be brief."), MESSAGE(TELEX_ROLE_USER, " One? "),
        MESSAGE(TELEX_ROLE_ASSISTANT, "Yes."), MESSAGE(TELEX_ROLE_USER, "Two?")};
    static const struct {
        const char *template;
        int32_t bos;
        const char *text;
    } cases[] = {
        {"chatml", -1,
         "[<|im_start|>]system\nBe brief.[<|im_end|>]\n[<|im_start|>]user\n One? [<|im_end|>]\n"
         "[<|im_start|>]assistant\nYes.[<|im_end|>]\n[<|im_start|>]user\nTwo?[<|im_end|>]\n[<|im_start|>]"
         "assistant\n"},
        {"llama3", 256 + 5,
         "[<|begin_of_text|>][<|start_header_id|>]system[<|end_header_id|>]\n\nBe brief.[<|eot_id|>]"
         "[<|start_header_id|>]user[<|end_header_id|>]\n\nOne?[<|eot_id|>]"
         "[<|start_header_id|>]assistant[<|end_header_id|>]\n\nYes.[<|eot_id|>]"
         "[<|start_header_id|>]user[<|end_header_id|>]\n\nTwo?[<|eot_id|>]"
         "[<|start_header_id|>]assistant[<|end_header_id|>]\n\n"},
        {"gemma", 256 + 8,
         "[<bos>][<start_of_turn>]user\nBe "
         "brief.\n\nOne?[<end_of_turn>]\n[<start_of_turn>]model\nYes.[<end_of_turn>]\n"
         "[<start_of_turn>]user\nTwo?[<end_of_turn>]\n[<start_of_turn>]model\n"},
        {"", -1, "Be brief.\n\n One? \n\nYes.\n\nTwo?"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = rendered(cases[i].template, cases[i].bos, talk, 4);
        assert_string_equal(text, cases[i].text);
        free(text);
    }
}

static void a_system_message_alone_is_not_lost(void **state) {
    (void)state;
    const struct telex_message *const talk[] = {MESSAGE(TELEX_ROLE_SYSTEM, "Write.")};
    char *text = rendered("gemma", -1, talk, 1);
    assert_string_equal(text, "[<start_of_turn>]user\nWrite.[<end_of_turn>]\n[<start_of_turn>]model\n");
    free(text);
}

/* A zero byte, every control text of every template, and nothing at all. */
static void a_text_adds_no_turn(void **state) {
    (void)state;
    char hostile[512] = "";
    for (int i = 0; i < N_CONTROLS; i++)
        strcat(hostile, controls[i]);
    struct telex_message user = {.size = sizeof(user), .role = TELEX_ROLE_USER, .text = telex_text(hostile)};
    const struct telex_message *const talk[] = {&user};
    static const char *const templates[] = {"chatml", "llama3", "gemma", ""};
    for (int i = 0; i < 4; i++) {
        user.text = telex_text("");
        char *empty = rendered(templates[i], -1, talk, 1);
        user.text = telex_text(hostile);
        char *text = rendered(templates[i], -1, talk, 1);
        size_t brackets = 0, expected = 0;
        for (const char *p = text; (p = strchr(p, '[')); p++)
            brackets++;
        for (const char *p = empty; (p = strchr(p, '[')); p++)
            expected++;
        assert_int_equal(brackets, expected);
        assert_non_null(strstr(text, hostile));
        free(empty);
        free(text);
    }
    static const uint8_t zero[] = {'a', 0, 'b'};
    user.text = (struct telex_bytes){zero, 3};
    struct telex_model_info info = {.size = sizeof(info), .chat = "gemma", .bos = -1};
    struct chat chat;
    struct token_list list = {0};
    char why[64];
    assert_int_equal(chat_open(&bytes_model, NULL, &info, &chat, why, sizeof(why)), TELEX_OK);
    assert_int_equal(chat_tokens(&chat, &bytes_model, NULL, talk, 1, &list), TELEX_OK);
    assert_int_equal(list.n,
                     1 + 5 + 3 + 1 + 1 + 1 + 6); /* start, "user\n", text, end, newline, start, "model\n" */
    free(list.items);
}

static void a_bad_message_is_refused(void **state) {
    (void)state;
    struct telex_message bad = {.size = sizeof(bad), .role = 7};
    const struct telex_message *const talk[] = {&bad};
    struct chat chat = {.bos = -1};
    struct token_list list = {0};
    assert_int_equal(chat_tokens(&chat, &bytes_model, NULL, talk, 1, &list), TELEX_INVALID);
    bad.role = 0;
    bad.size = 4;
    assert_int_equal(chat_tokens(&chat, &bytes_model, NULL, talk, 1, &list), TELEX_INVALID);
    free(list.items);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_template_gives_its_turns),
        cmocka_unit_test(a_system_message_alone_is_not_lost),
        cmocka_unit_test(a_text_adds_no_turn),
        cmocka_unit_test(a_bad_message_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
