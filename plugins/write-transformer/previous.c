/* SPDX-License-Identifier: Apache-2.0 */
/* previous.c - the texts of a story's earlier dispatch, and which of them a sentence led to. */
#include "previous.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static const double SHARE_ALIKE = 0.6;

static int keep(struct arena *arena, struct telex_bytes text, const char **out) {
    *out = text.size ? arena_copy(arena, (const char *)text.data, text.size) : NULL;
    return text.size && !*out ? -ENOMEM : 0;
}

static int add_piece(struct previous *previous, struct arena *arena, const msgpack_object *sentence,
                     struct telex_bytes question) {
    struct telex_bytes text = telex_map_text(sentence, "text");
    if (text.size == 0 || previous->n_pieces == PREVIOUS_PIECES_MAX)
        return 0;
    struct previous_piece *piece = &previous->pieces[previous->n_pieces++];
    int err = keep(arena, text, &piece->text);
    return err < 0 ? err : keep(arena, question, &piece->question);
}

static int read_body(struct previous *previous, struct arena *arena, const msgpack_object *dispatch) {
    uint32_t n_paragraphs, n = 0;
    const msgpack_object *paragraphs = telex_map_array(dispatch, "body", &n_paragraphs);
    for (uint32_t i = 0; i < n_paragraphs; i++) {
        bool list = paragraphs[i].type == MSGPACK_OBJECT_ARRAY;
        n = list ? paragraphs[i].via.array.size : 0;
        for (uint32_t k = 0; k < n; k++)
            if (add_piece(previous, arena, &paragraphs[i].via.array.ptr[k], (struct telex_bytes){0}) < 0)
                return -ENOMEM;
    }
    return 0;
}

static int read_faq(struct previous *previous, struct arena *arena, const msgpack_object *dispatch) {
    uint32_t n_pairs, n;
    const msgpack_object *pairs = telex_map_array(dispatch, "faq", &n_pairs);
    for (uint32_t i = 0; i < n_pairs; i++) {
        const msgpack_object *answer = telex_map_array(&pairs[i], "answer", &n);
        for (uint32_t k = 0; k < n; k++)
            if (add_piece(previous, arena, &answer[k], telex_map_text(&pairs[i], "question")) < 0)
                return -ENOMEM;
    }
    return 0;
}

int previous_read(struct previous *previous, struct arena *arena, const msgpack_object *dispatch) {
    memset(previous, 0, sizeof(*previous));
    struct telex_bytes dek = telex_map_text(dispatch, "dek");
    const msgpack_object *support = telex_map_find(telex_map_find(dispatch, "support"), "dek");
    if (keep(arena, telex_map_text(dispatch, "headline"), &previous->headline) < 0 ||
        keep(arena, telex_map_text(dispatch, "section_heading"), &previous->heading) < 0)
        return -ENOMEM;
    if (dek.size && add_piece(previous, arena, support, (struct telex_bytes){0}) < 0)
        return -ENOMEM;
    int err = read_body(previous, arena, dispatch);
    return err < 0 ? err : read_faq(previous, arena, dispatch);
}

/* Words of `a` with at least four letters or digits: how many, and how many of them `b` has too. */
static size_t shared_words(const char *a, const char *b, size_t *n_words) {
    size_t n_shared = 0, size;
    char word[64];
    for (*n_words = 0; *a; a += size ? size : 1) {
        for (size = 0; isalnum((unsigned char)a[size]);)
            size++;
        if (size < 4 || size >= sizeof(word))
            continue;
        memcpy(word, a, size);
        word[size] = '\0';
        ++*n_words;
        n_shared += strstr(b, word) != NULL;
    }
    return n_shared;
}

const struct previous_piece *previous_like(const struct previous *previous, const char *sentence) {
    const struct previous_piece *best = NULL;
    double best_share = SHARE_ALIKE;
    for (size_t i = 0; i < previous->n_pieces; i++) {
        size_t n;
        size_t n_shared = shared_words(previous->pieces[i].text, sentence, &n);
        double share = n ? (double)n_shared / (double)n : 0;
        if (share > best_share) {
            best_share = share;
            best = &previous->pieces[i];
        }
    }
    return best;
}
