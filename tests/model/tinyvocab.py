# SPDX-License-Identifier: Apache-2.0
"""Write a small GGUF file with a vocabulary trained on the spot: for tokenizers of which no model is at hand.

"llama-bpe" is Llama 3's pre-tokenizer, with words that no merge reaches; "llama-spm" is SentencePiece as Llama 2 has it, with
a space in front, an unknown token and single bytes."""
import random

import tinymodel
import tokenizer_reference as ref

ENGLISH = ("the of and to in a is that for it on was with as his by at from they are this have not but had were oil prices "
           "said bank central million dollars trade market shares company minister rose fell year week Monday's don't we'll "
           "1987 123456 0.75 dlrs mln pct U.S. OPEC ").split(" ")


def corpus(seed=3, n=4000):
    rng = random.Random(seed)
    return [ref.random_text(rng, ref.SCRAPS + ENGLISH * 3) + " " + " ".join(rng.choices(ENGLISH, k=12)) for _ in range(n)]


def llama_bpe():
    """(tokens, kinds, merges)"""
    import json
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(ref.WORDS % "{1,3}"), "isolated"),
                                                  pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=3000, show_progress=False,
                                                           initial_alphabet=sorted(ref.byte_chars().values())))
    model = json.loads(made.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    words = [w for w in ("Ġharbour", "zebra", "Ġdonkey", "Ġ====", "eta", "Ġsh") if w not in model["vocab"]]
    control = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|im_start|>"]
    kinds = [ref.NORMAL] * (len(tokens) + len(words)) + [ref.CONTROL] * len(control)
    return tokens + words + control, kinds, merges


def llama_spm():
    """(tokens, kinds, scores); without NUL, which llama.cpp's reader of texts does not take"""
    import json
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.Sequence([normalizers.Prepend(ref.BLOCK), normalizers.Replace(" ", ref.BLOCK)])
    made.pre_tokenizer = pre_tokenizers.Split(ref.BLOCK, "merged_with_next")
    made.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=6000, show_progress=False, limit_alphabet=1500))
    model = json.loads(made.to_str())["model"]
    learned = ["".join(m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]
    letters = [t for t in sorted(model["vocab"], key=model["vocab"].get) if len(t) == 1]
    head, user = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)], ["<|user|>", "  tab  "]
    tokens = head + [t for t in dict.fromkeys([*learned, *letters]) if t not in head + user and "\0" not in t] + user
    kinds = [ref.UNKNOWN, ref.CONTROL, ref.CONTROL] + [ref.BYTE] * 256
    kinds += [ref.NORMAL] * (len(tokens) - len(kinds) - 2) + [ref.USER] * 2
    scores = [0.0] * 259 + [-float(i) for i in range(len(tokens) - 259)]
    return tokens, kinds, scores


def add(writer, name):
    """Put the vocabulary into a file; returns its size."""
    if name == "llama-bpe":
        tokens, kinds, merges = llama_bpe()
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("llama-bpe")
        writer.add_token_merges(merges)
        bos, eos = tokens.index("<|begin_of_text|>"), tokens.index("<|eot_id|>")
    else:
        tokens, kinds, scores = llama_spm()
        writer.add_tokenizer_model("llama")
        writer.add_token_scores(scores)
        writer.add_unk_token_id(0)
        bos, eos = 1, 2
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(bos)
    writer.add_eos_token_id(eos)
    return len(tokens)


def write(path, name):
    return tinymodel.write(path, "Q8_0", vocabulary=lambda writer: add(writer, name), embedding_length=64, feed_forward_length=64,
                           head_count=2, head_count_kv=1, block_count=1)
