"""What a thread does with a training program: the steps of inference that it needs, and its own."""
from npvgg.kernels.engine.float32 import run
from npvgg.kernels.engine.float32.gradients import activation, batch_norm, dense_gradient, parameters, weight_gradient
from npvgg.kernels.engine.steps import TRAINING_KINDS

# kind: function(step, task, scratch), which does one task.
TASKS = {
    "pack_tail": parameters.pack_tail_task,
    "pack_first": parameters.pack_first_task,
    "pack_winograd": parameters.pack_winograd_task,
    "statistics": batch_norm.statistics_task,
    "merge_statistics": batch_norm.merge_statistics_task,
    "finish_pooled": batch_norm.finish_pooled_task,
    "mask": dense_gradient.mask_task,
    "norm_sums": batch_norm.norm_sums_task,
    "merge_norm_sums": batch_norm.merge_norm_sums_task,
    "norm_gradient": batch_norm.norm_gradient_task,
    "relu_gradient": activation.relu_gradient_task,
    "join": activation.join_task,
    "merge_bias": activation.merge_bias_task,
    "weight_gradient": weight_gradient.weight_gradient_task,
    "transform_gradient": weight_gradient.transform_gradient_task,
    "multiply_gradient": weight_gradient.multiply_gradient_task,
    "filter_gradient": weight_gradient.filter_gradient_task,
    "first_weight_gradient": weight_gradient.first_weight_gradient_task,
    "merge_first_weight": weight_gradient.merge_first_weight_task,
    "dense_weight_gradient": dense_gradient.dense_weight_gradient_task,
    "dense_input_gradient": dense_gradient.dense_input_gradient_task,
    "adaptive_average_gradient": dense_gradient.adaptive_average_gradient_task,
}
OF_INFERENCE = ("pad_picture", "enter", "first_convolution", "winograd", "transform", "multiply", "transform_back", "finish",
                "maxpool", "adaptive_average", "dense", "leave")

walk = run.walking({**{kind: run.TASKS[kind] for kind in OF_INFERENCE}, **{kind: TASKS[kind] for kind in TRAINING_KINDS}})
