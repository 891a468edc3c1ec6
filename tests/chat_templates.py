"""Small chat templates of the kinds that the families have, each with a tokenizer that knows its marks."""

import json
from dataclasses import dataclass, field
from typing import Literal

from tokenizer_kinds import WORDS, bytes_alone

from lingyu.model.chat import CHATML

QWEN25 = """\
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content }}
{%- else %}
    {{- '<|im_start|>system\\nYou help with questions.' }}
{%- endif %}
{%- if tools %}{{- '\\n\\nTools: ' + tools | tojson }}{%- endif %}
{{- '<|im_end|>\\n' }}
{%- for message in messages %}
    {%- if not (loop.first and message.role == 'system') %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""
GENERATION = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' }}
    {%- if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}
    {%- else %}{{- message['content'] + '<|im_end|>' }}{%- endif %}
    {{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""
LLAMA2 = """\
{%- if messages[0]['role'] == 'system' %}{% set asked, system = messages[1:], '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}
{%- else %}{% set asked, system = messages, '' %}{% endif %}
{%- for message in asked %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}
    {%- if message['role'] == 'user' %}
        {{- bos_token + '[INST] ' + (system if loop.first else '') + message['content'].strip() + ' [/INST]' }}
    {%- else %}{{- ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}
{%- endfor %}
"""
LLAMA3 = """\
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}{% set system, asked = messages[0]['content'] | trim, messages[1:] %}
{%- else %}{% set system, asked = '', messages %}{% endif %}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\nToday: ' + strftime_now('%d %b %Y') + '\\n\\n' + system + '<|eot_id|>' }}
{%- for message in asked %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
"""
MISTRAL = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message['role'] not in ['user', 'assistant'] %}{{ raise_exception('only user and assistant') }}{% endif %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}
    {%- if message['role'] == 'user' %}{{- '[INST] ' + message['content'] + '[/INST]' }}
    {%- else %}{{- ' ' + message['content'] + eos_token }}{% endif %}
{%- endfor %}
"""
GEMMA = """\
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}
    {{- '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n' }}
    {{- message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\\n' }}{%- endif %}
"""
GLM4 = """\
{{- '[gMASK]<sop>' }}
{%- for message in messages %}{{- '<|' + message['role'] + '|>\\n' + message['content'] }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}{%- endif %}
"""
PHI = """\
{%- for message in messages %}{{- '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}{%- else %}{{- eos_token }}{%- endif %}
"""
R1 = """\
{{- bos_token }}
{%- for message in messages if message['role'] == 'system' %}{{- message['content'] }}{%- endfor %}
{%- for message in messages if message['role'] != 'system' %}
    {%- if message['role'] == 'user' %}{{- '<|User|>' + message['content'] }}
    {%- else %}{{- '<|Assistant|>' + message['content'].split('</think>')[-1] + eos_token }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|Assistant|><think>\\n' }}{%- endif %}
"""


INTERNLM = """\
{{- bos_token }}
{%- for message in messages %}{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""
BAICHUAN = """\
{%- for message in messages %}
    {%- if message['role'] == 'system' %}{{- message['content'] }}
    {%- elif message['role'] == 'user' %}{{- '<reserved_106>' + message['content'] }}
    {%- else %}{{- '<reserved_107>' + message['content'] + eos_token }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<reserved_107>' }}{%- endif %}
"""


@dataclass(frozen=True)
class Family:
    """metaspace: words begin with ▁, as SentencePiece has them, the first of a text, too (Gemma: never); else bytes.
    known: tokens of the vocabulary that are no control tokens. begin: what the tokenizer puts before a text, where it is not bos."""

    template: str
    special: list[str]
    eos: str
    bos: str | None = None
    metaspace: Literal["first", "never", ""] = ""
    known: list[str] = field(default_factory=list)
    begin: list[str] = field(default_factory=list)


CHATML_MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
THINKS = ["<think>", "</think>"]
FAMILIES = {
    "chatml": Family(CHATML, CHATML_MARKS, "<|im_end|>", known=THINKS),
    "qwen2.5": Family(QWEN25, CHATML_MARKS, "<|im_end|>"),
    "generation": Family(GENERATION, CHATML_MARKS, "<|im_end|>"),
    "llama2": Family(LLAMA2, ["<unk>", "<s>", "</s>"], "</s>", "<s>", metaspace="first"),
    "llama3": Family(
        LLAMA3,
        ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        "<|eot_id|>",
        "<|begin_of_text|>",
    ),
    "mistral": Family(MISTRAL, ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], "</s>", "<s>", metaspace="first"),
    "gemma": Family(GEMMA, ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"], "<eos>", "<bos>", metaspace="never"),
    "glm4": Family(
        GLM4,
        ["<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"],
        "<|endoftext|>",
        begin=["[gMASK]", "<sop>"],
    ),
    "phi": Family(PHI, ["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"], "<|endoftext|>"),
    "internlm": Family(INTERNLM, ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"], "</s>", "<s>", metaspace="first"),
    "baichuan": Family(BAICHUAN, ["<unk>", "<s>", "</s>", "<reserved_106>", "<reserved_107>"], "</s>", metaspace="first"),
    "r1": Family(R1, ["<|begin|>", "<|finish|>", "<|User|>", "<|Assistant|>"], "<|finish|>", "<|begin|>", known=THINKS),
}


def tokenizer_of(family: Family):
    """A tokenizer of transformers with the family's template."""
    import transformers
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    words = [*WORDS, "请问电池多久检查一次？每月一次。", "No more than 120 m above the ground."]
    if family.metaspace:
        core = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=family.metaspace, split=False)
        first = [decoders.Strip(" ", 1, 0)] if family.metaspace == "first" else []
        core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *first])
        core.train_from_iterator(words, trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>", *bytes_alone()], show_progress=False))
        written = json.loads(core.to_str())
        written["added_tokens"] = []  # bytes are pieces, no control tokens
        core = Tokenizer.from_str(json.dumps(written))
    else:
        core = Tokenizer(models.BPE())
        core.normalizer = normalizers.NFC()
        split = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"), byte_level])
        core.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        core.train_from_iterator(words, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False))
    core.add_special_tokens(family.special)
    core.add_tokens([AddedToken(token, special=False) for token in family.known])
    if begin := family.begin or [family.bos or ""][: bool(family.bos)]:
        core.post_processor = processors.TemplateProcessing(
            single=[*begin, "$A"], special_tokens=[(token, core.token_to_id(token)) for token in begin]
        )
    names = {"bos_token": family.bos} if family.bos else {}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, eos_token=family.eos, pad_token=family.special[0], **names)
    tokenizer.chat_template = family.template
    return tokenizer
