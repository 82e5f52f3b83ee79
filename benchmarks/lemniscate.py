"""The authors' arithmetic (lemniscate.pytorch) in plain PyTorch, for comparison.

What differs is in PyTorch's favor: the negatives are drawn by `randint`, not by the
alias method, and the rows of a batch are updated apart from the backward pass.
"""

import sys

# PyTorch's optimizers import Triton, its compiler for GPUs, which crashes the process
# where TensorFlow was imported before. None: as if it were not installed.
sys.modules.setdefault("triton", None)

import torch  # noqa: E402


class NCE(torch.autograd.Function):
    """exp(v_j.v / tau) / Z of a positive and its negatives, as `NCEFunction`.

    embeddings: [batch, dim]; memory: [n, dim]; drawn: int64 [batch, 1 + m], the
    positive first. Returns [batch, 1 + m]. Z is that of the first batch: `z` is a
    list, empty before it.
    """

    @staticmethod
    def forward(context, embeddings, memory, drawn, temperature, z):
        rows = memory.index_select(0, drawn.view(-1))
        rows = rows.view(*drawn.shape, memory.shape[1])  # [batch, 1 + m, dim]
        out = torch.bmm(rows, embeddings.detach()[:, :, None]).squeeze(2)
        out.div_(temperature).exp_()
        if not z:
            z.append(out.mean().item() * memory.shape[0])
        out.div_(z[0])
        context.save_for_backward(rows, out)
        context.temperature = temperature
        return out

    @staticmethod
    def backward(context, upstream):
        rows, out = context.saved_tensors
        upstream = upstream * out / context.temperature
        gradient = torch.bmm(upstream[:, None, :], rows).squeeze(1)
        return gradient, None, None, None, None


def nce_loss(probabilities, num_instances):
    """`NCECriterion`: float [], the mean over the batch."""
    noise = (probabilities.shape[1] - 1) / num_instances  # m P_n
    positives, negatives = probabilities[:, 0], probabilities[:, 1:]
    data_term = torch.log(positives / (positives + noise + 1e-7)).sum()
    noise_terms = torch.log(noise / (negatives + noise + 1e-7)).sum()
    return -(data_term + noise_terms) / len(probabilities)


def draw(indices, num_instances, num_negatives):
    """Rows for every image, its own first: int64 [batch, 1 + m]."""
    drawn = torch.randint(num_instances, (len(indices), num_negatives + 1))
    drawn[:, 0] = indices
    return drawn


def make_nce(memory, num_negatives, temperature=0.07):
    """loss(embeddings, indices): NCE with negatives per sample."""
    z = []

    def loss(embeddings, indices):
        drawn = draw(indices, len(memory), num_negatives)
        return nce_loss(
            NCE.apply(embeddings, memory, drawn, temperature, z), len(memory)
        )

    return loss


def make_sampled_softmax(memory, num_negatives, temperature=0.07):
    """loss(embeddings, indices): cross-entropy with negatives per sample, as CMC."""

    def loss(embeddings, indices):
        drawn = draw(indices, len(memory), num_negatives)
        rows = memory.index_select(0, drawn.view(-1)).view(*drawn.shape, -1)
        logits = torch.bmm(rows, embeddings[:, :, None]).squeeze(2) / temperature
        target = torch.zeros(len(logits), dtype=torch.long)
        return torch.nn.functional.cross_entropy(logits, target)

    return loss


def make_softmax(memory, temperature=0.07):
    """loss(embeddings, indices): cross-entropy over all rows, as `--nce-k 0`."""

    def loss(embeddings, indices):
        logits = embeddings @ memory.t() / temperature
        return torch.nn.functional.cross_entropy(logits, indices)

    return loss


@torch.no_grad()
def update(memory, indices, embeddings, momentum=0.5):
    """Moves the rows of a batch, in place."""
    rows = memory.index_select(0, indices).mul_(momentum)
    rows.add_(embeddings * (1 - momentum))
    memory.index_copy_(0, indices, rows.div_(rows.norm(dim=1, keepdim=True)))


class BasicBlock(torch.nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.residual = torch.nn.Sequential(
            *convolution_and_norm(inputs, channels, 3, stride),
            torch.nn.ReLU(inplace=True),
            *convolution_and_norm(channels, channels, 3, 1),
        )
        self.shortcut = torch.nn.Sequential()
        if stride != 1 or inputs != channels:
            self.shortcut.extend(convolution_and_norm(inputs, channels, 1, stride))

    def forward(self, x):
        return torch.relu(self.residual(x) + self.shortcut(x))


def convolution_and_norm(inputs, channels, kernel_size, stride):
    return (
        torch.nn.Conv2d(
            inputs, channels, kernel_size, stride, kernel_size // 2, bias=False
        ),
        torch.nn.BatchNorm2d(channels),
    )


class Encoder(torch.nn.Module):
    """The authors' ResNet-18 for CIFAR: images [batch, 3, 32, 32] to unit vectors."""

    def __init__(self, width, dim=128):
        super().__init__()
        layers = [*convolution_and_norm(3, width, 3, 1), torch.nn.ReLU(inplace=True)]
        inputs = width
        for stage in range(4):
            channels = width * 2**stage
            layers.append(BasicBlock(inputs, channels, 2 if stage else 1))
            layers.append(BasicBlock(channels, channels, 1))
            inputs = channels
        pool = (torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        self.layers = torch.nn.Sequential(*layers, *pool, torch.nn.Linear(inputs, dim))

    def forward(self, images):
        return torch.nn.functional.normalize(self.layers(images))
