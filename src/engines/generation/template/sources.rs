//! Templates for models that bring none, by the marks their vocabulary has.

use serde::{Deserialize, Serialize};

use super::super::header::Header;

/// Where a model's chat template is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateKind {
    /// The model's own.
    Own,
    /// Turns between `<|im_start|>` and `<|im_end|>`.
    Chatml,
    /// Headers and `<|eot_id|>`, as the third Llama.
    Llama3,
    /// `<start_of_turn>` and `<end_of_turn>`, without a turn for the system.
    Gemma,
    /// `<|user|>`, `<|assistant|>` and `<|end|>`.
    Phi3,
    /// `<|user|>` and `<|assistant|>` after `[gMASK]`.
    Glm4,
    /// `[INST]` and `[/INST]`.
    Instruct,
    /// Names and colons: nothing in the vocabulary tells of turns.
    Plain,
}

impl TemplateKind {
    /// The kind of a model that brings no template.
    pub(super) fn by_vocabulary(header: &Header) -> Self {
        let tokens = header.texts("tokenizer.ggml.tokens").unwrap_or_default();
        let has =
            |marks: &[&str]| marks.iter().all(|mark| tokens.iter().any(|token| token == mark));
        match () {
            () if has(&["<|im_start|>", "<|im_end|>"]) => Self::Chatml,
            () if has(&["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]) => Self::Llama3,
            () if has(&["<start_of_turn>", "<end_of_turn>"]) => Self::Gemma,
            () if has(&["[gMASK]", "<|user|>", "<|assistant|>"]) => Self::Glm4,
            () if has(&["<|user|>", "<|assistant|>", "<|end|>"]) => Self::Phi3,
            () if has(&["[INST]", "[/INST]"]) => Self::Instruct,
            () => Self::Plain,
        }
    }

    /// The template, in Jinja; none for the model's own. Jinja takes the last line's end away, so
    /// where a line ends the template, two are written.
    pub(super) const fn source(self) -> &'static str {
        match self {
            Self::Own => "",
            Self::Chatml => {
                "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
                 {% endfor %}<|im_start|>assistant\n\n"
            }
            Self::Llama3 => {
                "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}\
                 <|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}\
                 <|start_header_id|>assistant<|end_header_id|>\n\n\n"
            }
            Self::Gemma => {
                "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}\
                 {{ raise_exception('no turn for a system') }}{% endif %}<start_of_turn>\
                 {{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}\
                 <end_of_turn>\n{% endfor %}<start_of_turn>model\n\n"
            }
            Self::Phi3 => {
                "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}\
                 <|assistant|>\n\n"
            }
            Self::Glm4 => {
                "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}\
                 <|assistant|>\n\n"
            }
            Self::Instruct => {
                "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] \
                 {{ m.content }} [/INST]{% elif m.role == 'assistant' %} {{ m.content }}\
                 {{ eos_token }}{% else %}{{ raise_exception('no turn for a system') }}{% endif %}\
                 {% endfor %}"
            }
            Self::Plain => {
                "{% for m in messages %}{% if m.role == 'user' %}User: {% elif m.role == \
                 'assistant' %}Assistant: {% endif %}{{ m.content }}\n\n{% endfor %}Assistant:"
            }
        }
    }

    /// The kind in one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Chatml => "chatml",
            Self::Llama3 => "llama3",
            Self::Gemma => "gemma",
            Self::Phi3 => "phi3",
            Self::Glm4 => "glm4",
            Self::Instruct => "instruct",
            Self::Plain => "plain",
        }
    }

    /// Texts that end an answer because the model would go on with the person's next turn.
    pub const fn stops(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &["\nUser:"],
            _ => &[],
        }
    }
}
