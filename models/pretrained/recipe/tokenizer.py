"""Stage `tokenizer`: a CLIP-format byte-pair tokenizer learned from the captions and emoji names.

The vocabulary is CLIP's layout: 256 byte symbols, the same 256 ending a word, the merges, and the
start and end tokens.
"""

import json
import random
import re
from collections import Counter

from transformers import CLIPTokenizer
from transformers.models.clip.tokenization_clip import bytes_to_unicode

from captions import draw_background, draw_layout, write_caption
from data import Sprites
from vocabulary import HELD_OUT_OBJECTS, HELD_OUT_STYLE, TRAINED_OBJECTS, TRAINED_STYLES

MAX_LENGTH = 32
VOCABULARY_SIZE = 2048
CAPTIONS = 40_000
LEAST_PAIR_COUNT = 30
NAME_WORD_COUNT = 30
EXTRA_WORD_COUNT = 40
EXTRA_WORDS = """
small large tiny big cute red blue green cyan brown golden silver toy animal object style icon face
food fruit plant tool machine vehicle person painting house sky street beach mountain night morning
my with and in on of at the a an is near under over beside inside left right top bottom three four
five sketch cartoon emoji image pixel clay woman man boy girl child teapot sculpture
""".split()


def run(setting):
    """Writes `work/tokenizer/`; the smoke run counts fewer captions."""
    captions = 400 if setting.smoke else CAPTIONS
    symbols = list(bytes_to_unicode().values())
    specials = ["<|startoftext|>", "<|endoftext|>"]
    base = symbols + [symbol + "</w>" for symbol in symbols]
    merges = learn_merges(_count_words(setting.work, captions), VOCABULARY_SIZE - len(base) - len(specials))
    vocabulary = base + [left + right for left, right in merges] + specials
    assert len(set(vocabulary)) == len(vocabulary)

    folder = setting.work / "tokenizer"
    folder.mkdir(exist_ok=True)
    ids = {token: index for index, token in enumerate(vocabulary)}
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False))
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    CLIPTokenizer(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        model_max_length=MAX_LENGTH,
        pad_token=specials[1],
    ).save_pretrained(folder)
    print(f"{len(vocabulary)} tokens, {len(merges)} merges")


def learn_merges(word_counts, max_merges):
    """Byte-pair merges, most frequent pair first; of equals, the one that sorts last."""
    byte_symbols = bytes_to_unicode()
    words = []
    for word, count in word_counts.items():
        symbols = [byte_symbols[byte] for byte in word.encode()]
        symbols[-1] += "</w>"
        words.append((symbols, count))

    merges = []
    while len(merges) < max_merges:
        pairs = Counter()
        for symbols, count in words:
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += count
        best, count = max(pairs.items(), key=lambda item: (item[1], item[0]), default=(None, 0))
        if count < LEAST_PAIR_COUNT:
            break
        merges.append(best)
        words = [(_merge(symbols, best), count) for symbols, count in words]
    return merges


class CaptionEncoder:
    """Captions -> token ids, remembering each word's ids because the captions share few words."""

    def __init__(self, work):
        self.tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
        self._word_ids = {}

    def encode(self, captions, length=None):
        """Rows of ids padded with the end token to `length`, or to the longest and at least 8."""
        start, end = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        rows = []
        for caption in captions:
            ids = [start]
            for word in caption.split():
                ids += self._encode_word(word)
            rows.append(ids[: MAX_LENGTH - 1] + [end])
        length = length or max(8, *(len(row) for row in rows))
        return [row + [end] * (length - len(row)) for row in rows]

    def _encode_word(self, word):
        if word not in self._word_ids:
            ids = self.tokenizer(word, add_special_tokens=False).input_ids
            self._word_ids[word] = ids
        return self._word_ids[word]


def _count_words(work, captions):
    rng = random.Random(0)
    objects = [*TRAINED_OBJECTS, *HELD_OUT_OBJECTS]
    styles = [*TRAINED_STYLES.values(), HELD_OUT_STYLE]
    counts = Counter()
    for _ in range(captions):
        name, style = rng.choice(objects), rng.choice(styles)
        color, _ = draw_background(rng)
        caption = write_caption(rng, name, style, color, draw_layout(rng))
        counts.update(re.findall(r"[a-z]+|[0-9]|[^\sa-z0-9]+", caption))
    for name in set(Sprites(work).names):
        counts.update(dict.fromkeys(re.findall("[a-z]+", name), NAME_WORD_COUNT))
    counts.update(dict.fromkeys(EXTRA_WORDS, EXTRA_WORD_COUNT))
    return counts


def _merge(symbols, pair):
    merged = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged
