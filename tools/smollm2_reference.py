"""Logits of transformers' own reading of a GGUF file, in f32: what `turgo eval kl` compares with.

    smollm2_reference.py model.gguf --text wikitext2_raw_test.txt --tokens 2000 --output ref/smollm2
    writes ref/smollm2.npy (f32 [tokens, vocab_size]), ref/smollm2.tokens.npy (i32 [tokens]) and ref/smollm2.json.

The text is tokenised once without special tokens and its first --tokens tokens are cut into windows of --ctx that do
not overlap; the last may be short. A model that wants BOS (tokenizer.ggml.add_bos_token) gets one in front of each
window, as an extra position; its row is not saved. Row i is the prediction made after token i was seen. Every token
but a window's first is scored. Needs torch, transformers and gguf; not part of the test environment.
"""
import argparse
import json
import os

import numpy as np


def field(reader, key, default=None):
    return reader.fields[key].contents() if key in reader.fields else default


def tokenizer_of(reader):
    """The file's own vocabulary in a `tokenizers` object with the published pre-tokenizer."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokens, types = field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.token_type")
    vocab = {t: i for i, t in enumerate(tokens)}
    if field(reader, "tokenizer.ggml.model") == "gpt2":
        merges = [tuple(m.split(" ")) for m in field(reader, "tokenizer.ggml.merges")]
        tok = Tokenizer(models.BPE(vocab=vocab, merges=merges))
        assert field(reader, "tokenizer.ggml.pre") == "smollm", "only SmolLM's pre-tokenizer is written here"
        tok.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
        tok.decoder = decoders.ByteLevel()
    else:  # SentencePiece BPE: every split of a piece into two pieces is a merge, ranked by the piece's score
        scores = field(reader, "tokenizer.ggml.scores")
        merges = []
        for piece, i in vocab.items():
            if types[i] != 1:
                continue
            halves = [(piece[:c], piece[c:]) for c in range(1, len(piece)) if piece[:c] in vocab and piece[c:] in vocab]
            halves.sort(key=lambda h: (vocab[h[0]], vocab[h[1]]))
            merges += [(scores[i], h) for h in halves]
        merges = [h for _, h in sorted(merges, key=lambda m: -m[0])]
        tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True, fuse_unk=True, unk_token=tokens[3]))
        tok.normalizer = normalizers.Replace(" ", "\u2581")
    # Control tokens (type 3) are never made from text; user-defined ones (type 4) always are.
    tok.add_tokens([AddedToken(t, normalized=False) for t, k in zip(tokens, types) if k == 4])
    return tok


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--text", required=True)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--output", required=True)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()

    import torch
    import transformers
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM

    if args.threads:
        torch.set_num_threads(args.threads)
    reader = GGUFReader(args.model)
    bos = field(reader, "tokenizer.ggml.bos_token_id") if field(reader, "tokenizer.ggml.add_bos_token", False) else None
    with open(args.text, encoding="utf-8", newline="") as f:
        text = f.read()
    ids = tokenizer_of(reader).encode(text[: args.tokens * 40], add_special_tokens=False).ids[: args.tokens]
    folder, name = os.path.split(os.path.abspath(args.model))
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
    model.config._attn_implementation = "eager"

    out = np.lib.format.open_memmap(args.output + ".npy", mode="w+", dtype=np.float32,
                                    shape=(len(ids), model.config.vocab_size))
    nll, first_nll, scored = 0.0, 0.0, 0
    for begin in range(0, len(ids), args.ctx):
        window = ids[begin : begin + args.ctx]
        prefix = [] if bos is None else [bos]
        with torch.no_grad():
            logits = model(torch.tensor([prefix + window])).logits[0].float()
        logp = torch.log_softmax(logits.double(), -1)
        if prefix:
            first_nll -= logp[0, window[0]].item()
            logits, logp = logits[1:], logp[1:]
        out[begin : begin + len(window)] = logits.numpy()
        nll -= logp[torch.arange(len(window) - 1), torch.tensor(window[1:])].sum().item()
        scored += len(window) - 1
    out.flush()
    np.save(args.output + ".tokens.npy", np.array(ids, dtype=np.int32))
    windows = (len(ids) + args.ctx - 1) // args.ctx
    report = {
        "model": name, "text": os.path.basename(args.text), "tokens": len(ids), "ctx": args.ctx, "windows": windows,
        "bos_token_id": bos, "bos": "in front of each window, row not saved" if bos is not None else "none",
        "scored_tokens": scored, "mean_nll": nll / scored, "perplexity": float(np.exp(nll / scored)),
        "dtype": "float32", "transformers": transformers.__version__, "torch": torch.__version__,
    }
    if bos is not None:  # the other reading of "every token but a window's first": the window's first is its BOS
        with_first = (nll + first_nll) / (scored + windows)
        report |= {"mean_nll_first_scored_after_bos": with_first, "perplexity_first_scored_after_bos": float(np.exp(with_first))}
    with open(args.output + ".json", "w") as f:
        json.dump(report, f, indent=1)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
