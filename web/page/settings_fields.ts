// The settings behind "Advanced" and the ones beside the pictures, by the CLI's names.

export interface Field {
  /** The CLI's flag in snake_case. */
  option: string;
  label: string;
  /** What it does, in a few words. */
  help: string;
  kind: "text" | "number" | "lines" | "choice";
  choices?: [value: string, label: string][];
  /** Shown for this method alone. */
  method?: string;
  /** Step of a number's spinner; `any` by default. */
  step?: number;
}

/** Shown beside the pictures. */
export const NAMING: Field[] = [
  {
    option: "placeholder_token",
    label: "Its name",
    help: "a new word, such as <my-cat>",
    kind: "text",
  },
  {
    option: "initializer_token",
    label: "Something like a",
    help: "a known word to start from; left empty, the best one is found",
    kind: "text",
  },
  {
    option: "learnable_property",
    label: "The pictures share",
    help: "what is to be learned",
    kind: "choice",
    choices: [
      ["object", "a thing"],
      ["style", "a style"],
    ],
  },
];

/** Shown behind "Advanced". */
export const ADVANCED: Field[] = [
  { option: "window", label: "Window", help: "how many of the last evaluations decide", kind: "number", step: 1 },
  { option: "threshold", label: "Threshold", help: "stop when the ratio falls under this; 0 never stops", kind: "number" },
  { option: "max_train_steps", label: "Steps at most", help: "the end, if the rule has not stopped before", kind: "number", step: 1 },
  { option: "learning_rate", label: "Learning rate", help: "how far a step goes", kind: "number" },
  { option: "train_batch_size", label: "Batch", help: "pictures of one step; less needs less memory", kind: "number", step: 1 },
  { option: "eval_batch_size", label: "Evaluation batch", help: "inputs of the deterministic loss", kind: "number", step: 1 },
  { option: "seed", label: "Seed", help: "the same seed trains the same run", kind: "number", step: 1 },
  {
    option: "method",
    label: "Method",
    help: "what is trained",
    kind: "choice",
    choices: [
      ["textual-inversion", "Textual Inversion"],
      ["dreambooth-lora", "DreamBooth-LoRA"],
      ["custom-diffusion", "Custom Diffusion"],
    ],
  },
  {
    option: "class_prompt",
    label: "One of what kind",
    help: "what the thing is one of, such as cat",
    kind: "text",
    method: "custom-diffusion",
  },
  {
    option: "num_class_images",
    label: "Pictures of the kind",
    help: "drawn first; a few take minutes on the CPU",
    kind: "number",
    step: 1,
    method: "custom-diffusion",
  },
  { option: "sample_frequency", label: "Preview every", help: "steps between previews; 0 draws none", kind: "number", step: 1 },
  { option: "save_steps", label: "Save every", help: "steps between saves in this browser", kind: "number", step: 1 },
  { option: "num_inference_steps", label: "Drawing steps", help: "denoising steps of each picture", kind: "number", step: 1 },
  { option: "validation_prompt", label: "Prompts of the pictures", help: "one a line; {} stands for the name", kind: "lines" },
];
