"""Muon: momentum orthogonalised by Newton-Schulz iterations, for matrices and convolutions.

Keller Jordan, "Muon: An optimizer for hidden layers in neural networks", 2024. Everything that is
not a hidden matrix (embeddings, first and last convolutions, norms, biases) is left to AdamW.
"""

import torch

from precision import compute_type

NOT_HIDDEN = ("embed", "embedding", "conv_in", "conv_out")
SMALLEST_SIDE = 16


class Muon:
    """Muon and AdamW in one; matrices of one shape are stepped together.

    `weight_decay` is decoupled and applies to the matrices only.
    """

    def __init__(
        self,
        named_parameters,
        learning_rate,
        adam_learning_rate,
        momentum=0.95,
        weight_decay=0.0,
    ):
        self.learning_rate = learning_rate
        self.adam_learning_rate = adam_learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.matrices_by_shape = {}
        others = []
        for name, parameter in named_parameters:
            if _is_hidden_matrix(name, parameter):
                shape = (parameter.shape[0], parameter[0].numel())
                self.matrices_by_shape.setdefault(shape, []).append(parameter)
            else:
                others.append(parameter)
        self.averages = {
            parameter: torch.zeros_like(parameter)
            for matrices in self.matrices_by_shape.values()
            for parameter in matrices
        }
        self.adam = torch.optim.AdamW(
            others, lr=adam_learning_rate, betas=(0.9, 0.99), weight_decay=0.0
        )

    def zero_grad(self):
        """Forgets every gradient."""
        self.adam.zero_grad()
        for parameter in self.averages:
            parameter.grad = None

    def state_dict(self):
        """What a later process needs to go on; parameters are known by their order."""
        return dict(averages=list(self.averages.values()), adam=self.adam.state_dict())

    def load_state_dict(self, state):
        """Goes on from a `state_dict`."""
        for average, saved in zip(self.averages.values(), state["averages"], strict=True):
            average.copy_(saved)
        self.adam.load_state_dict(state["adam"])

    @torch.no_grad()
    def step(self, factor):
        """One update, with both learning rates times `factor`."""
        self.adam.param_groups[0]["lr"] = self.adam_learning_rate * factor
        self.adam.step()
        for (rows, columns), matrices in self.matrices_by_shape.items():
            directions = []
            for parameter in matrices:
                average = self.averages[parameter].lerp_(parameter.grad, 1 - self.momentum)
                nesterov = parameter.grad.lerp(average, self.momentum)
                directions.append(nesterov.reshape(rows, columns))
            updates = orthogonalise(torch.stack(directions)) * max(1, rows / columns) ** 0.5
            for parameter, update in zip(matrices, updates):
                parameter.mul_(1 - self.learning_rate * factor * self.weight_decay)
                parameter.sub_(update.reshape(parameter.shape), alpha=self.learning_rate * factor)


def orthogonalise(matrices, steps=5):
    """[n, rows, columns] -> about U V^T of each one's singular value decomposition U S V^T."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.to(compute_type(matrices.device))
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    is_tall = x.shape[-2] > x.shape[-1]
    if is_tall:
        x = x.mT
    for _ in range(steps):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return (x.mT if is_tall else x).float()


def _is_hidden_matrix(name, parameter):
    return (
        parameter.ndim >= 2
        and min(parameter.shape[0], parameter[0].numel()) >= SMALLEST_SIDE
        and not any(word in name for word in NOT_HIDDEN)
    )
