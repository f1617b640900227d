"""The resnet of page 08 without its waste: what page 13 will teach, kept running by `bench_resnet.py`.

59 % of a resnet18's arithmetic at 28x28 meets only padding: layer4 works on maps of one pixel, layer3 on 2x2. On one pixel a
3x3 convolution is a linear layer (its middle), on four it is a small matrix product. `fast_convs` computes so with the usual
weights, `trim` throws out the weights that never meet a pixel; results and gradients stay what they were. Beside that: images
decoded once (`InMemoryDL`), and torch's fused Adam in fastai's clothes (`fused_adam`). Channels last alone did not pay; a
larger batch alone did not either; 14x14 images cost 58 % more errors.
"""
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from fastai.callback.schedule import Learner  # gives it `fit_one_cycle`
from fastai.data.core import TfmdDL
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper
from fastai.torch_core import TensorCategory, TensorImage, set_seed
from fastai.vision.data import ImageDataLoaders
from fastai.vision.learner import vision_learner
from fastcore.basics import chunked
from torch import Tensor, nn
from torchvision.models import resnet18

from fastbook_ch4.data import read_images


def small_conv(x: Tensor,  # float [n, c, h, w] with h and w of 1 or 2: the maps
               weight: Tensor,  # float [o, c, 3, 3]: the kernels
               stride: int = 1,  # 1 or 2
               ) -> Tensor:  # float [n, o, h', w'], as `F.conv2d(x, weight, stride=stride, padding=1)` gives
    "Compute a 3x3 convolution (padding 1) on maps of at most 2x2 pixels as the matrix product that it is."
    n, _, h, w = x.shape
    if max(h, w) > 2: raise ValueError(f'the maps are {h}x{w}; expected at most 2x2')
    if weight.shape[2:] != (3, 3): raise ValueError(f'the kernels are {list(weight.shape)}; expected [o, c, 3, 3]')
    taps = weight.permute(2, 3, 0, 1)  # [3, 3, o, c]: one matrix for each of the nine places
    rows, columns = range(0, h, stride), range(0, w, stride)
    blocks = [taps[1 - i:1 - i + h, 1 - j:1 - j + w] for i in rows for j in columns]  # what pixel i, j looks at
    matrix = torch.stack(blocks).permute(0, 3, 1, 2, 4).flatten(2).flatten(0, 1)
    y = F.linear(x.permute(0, 2, 3, 1).flatten(1), matrix)
    return y.view(n, len(rows), len(columns), -1).permute(0, 3, 1, 2)

class FastConv2d(nn.Conv2d):
    "Compute what `nn.Conv2d` computes, but leave out the products with padding, and with channels that are repeated."

    def forward(self, x):
        x = x.as_subclass(Tensor)  # a plain tensor: fastai's own type costs time in every layer
        if x.shape[1] > 1 and x.stride(1) == 0:  # made by `expand`: the channels are one and the same memory
            y = self._conv_forward(x[:, :1], self.weight.sum(1, keepdim=True), self.bias)
            return y.contiguous(memory_format=torch.channels_last)  # the memory order that the layers below like
        if max(x.shape[2:]) > 2 or self.kernel_size != (3, 3): return super().forward(x)
        y = small_conv(x, self.weight, self.stride[0])
        return y if self.bias is None else y + self.bias[:, None, None]


def fast_convs(model: nn.Module,  # any model; its convolutions are changed in place
               ) -> nn.Module:  # the same model
    "Let every plain convolution of `model` compute as `FastConv2d`: same parameters, same names, same results."
    for m in model.modules():
        plain = type(m) is nn.Conv2d and m.groups == 1 and m.padding_mode == 'zeros' and m.dilation == (1, 1)
        if plain and (m.kernel_size != (3, 3) or (m.padding == (1, 1) and m.stride in ((1, 1), (2, 2)))):
            m.__class__ = FastConv2d  # the object stays, with its weights; only its methods change
    return model

def _decode(ds):
    "All images of a fastai data set of files, uint8 [n, 1, 28, 28], and their labels [n]."
    pixels = {}
    for folder in {o.parent for o in ds.items}:
        names = sorted(o for o in os.listdir(folder) if o.lower().endswith('.png') and not o.startswith('.'))
        pixels |= zip((folder / o for o in names), read_images(folder))
    if missing := [o for o in ds.items if o not in pixels]:
        raise ValueError(f'{missing[0]} is no .png file; expected 28x28 grayscale PNG files')
    labels = [ds.vocab.o2i[o.parent.name] for o in ds.items]
    return torch.stack([pixels[o] for o in ds.items])[:, None], torch.tensor(labels)


class InMemoryDL(TfmdDL):
    "Give the batches that fastai's `TfmdDL` gives for folders of 28x28 gray PNG files; decode each file only once."

    def _memory(self):
        "Pixels and labels on this loader's device; decoded at the first use, and kept with the data set."
        kept, device = vars(self.dataset).setdefault('_decoded', {}), torch.device(self.device or 'cpu')
        if device not in kept: kept[device] = tuple(o.to(device) for o in _decode(self.dataset))
        return kept[device]

    def _files(self):
        "Is this a set of labelled files? (`learn.predict` makes loaders of other things: they are not kept.)"
        return len(getattr(self.dataset, 'tls', ())) == 2 and isinstance(self.dataset.items[0], Path)

    def create_batches(self, samps):
        if not self._files():
            yield from super().create_batches(samps)
            return
        x, y = self._memory()
        for i in chunked(samps, self.bs, self.drop_last): yield TensorImage(x[i]), TensorCategory(y[i])

    def __iter__(self):
        for b in super().__iter__():  # three channels without a copy: stride 0
            yield (b[0].expand(-1, 3, -1, -1), *b[1:]) if self._files() else b

class _FusedAdam(OptimWrapper):
    def _set_hyper(self, k, v):
        "As in fastai, weight decay never reaches biases and norm layers, which have groups of their own."
        if k == 'wd': v = [o if g['params'][0].ndim > 1 else 0. for g, o in zip(self.opt.param_groups, v)]
        super()._set_hyper(k, v)


def fused_adam(groups: list,  # lists of parameters, as a Learner's splitter gives them
               lr: float,  # learning rate > 0
               mom: float = .9,  # decay of the mean gradient, 0 to 1
               sqr_mom: float = .99,  # decay of the mean squared gradient, 0 to 1
               eps: float = 1e-5,  # added to the root of the mean square
               wd: float = .01,  # weight decay; not for biases and norm layers
               ) -> OptimWrapper:  # for a Learner's `opt_func`
    "Make fastai's `Adam` out of torch's fused kernel: the same steps, in one pass over the memory."
    split = [([p for p in g if (p.ndim > 1) is decays], wd * decays) for g in groups for decays in (True, False)]
    split = [{'params': params, 'weight_decay': decay} for params, decay in split if params]
    return _FusedAdam(split, torch.optim.AdamW, lr=lr, betas=(mom, sqr_mom), eps=eps, fused=True)


class _Trimmed(nn.Module):
    "A bias-free 3x3 convolution that holds only the weights which ever meet a pixel."

    def __init__(self, conv):
        super().__init__()
        self.weight = nn.Parameter(self.take(conv.weight.detach()).clone(memory_format=torch.contiguous_format))


class _OnePixel(_Trimmed):
    "For maps of 1x1: the middle of the kernel, a linear layer."

    @staticmethod
    def take(kernels): return kernels[:, :, 1, 1]

    @staticmethod
    def put(kernels, weight): kernels[:, :, 1, 1] = weight

    def forward(self, x): return F.linear(x.flatten(1), self.weight)[:, :, None, None]


class _FourPixels(_Trimmed):
    "For stride 2 on maps of 2x2: four of the nine places, a linear layer on the four pixels of all channels."

    @staticmethod
    def take(kernels): return kernels[:, :, 1:, 1:].permute(0, 2, 3, 1).flatten(1)

    @staticmethod
    def put(kernels, weight): kernels[:, :, 1:, 1:] = weight.unflatten(1, (2, 2, -1)).permute(0, 3, 1, 2)

    def forward(self, x): return F.linear(x.permute(0, 2, 3, 1).flatten(1), self.weight)[:, :, None, None]

class _Square(_Trimmed):
    "For stride 1 on maps of 2x2: three products for each direction in place of four, so nine in place of sixteen."

    @staticmethod
    def take(kernels): return kernels.permute(2, 3, 1, 0)  # [3, 3, c, o]

    @staticmethod
    def put(kernels, weight): kernels.copy_(weight.permute(3, 2, 0, 1))

    @staticmethod
    def _kernels(w, dim):
        first, middle, last = w.unbind(dim)
        return torch.stack((middle, last - middle, first - middle), dim)

    @staticmethod
    def _pixels(x, dim):
        first, last = x.unbind(dim)
        return torch.stack((first + last, last, first), dim)

    @staticmethod
    def _sums(y, dim):
        both, first, last = y.unbind(dim)
        return torch.stack((both + first, both + last), dim)

    def forward(self, x):
        kernels = self._kernels(self._kernels(self.weight, 0), 1)  # [3, 3, c, o]
        pixels = self._pixels(self._pixels(x.permute(2, 3, 0, 1), 0), 1)  # [3, 3, n, c]
        y = torch.bmm(pixels.flatten(0, 1), kernels.flatten(0, 1)).unflatten(0, (3, 3))
        return self._sums(self._sums(y, 0), 1).permute(2, 3, 0, 1)  # [n, o, 2, 2]

class _Pointwise(_Trimmed):
    "A 1x1 convolution with a stride (the shortcuts): a linear layer on the pixels that the stride meets."

    def __init__(self, conv):
        super().__init__(conv)
        self.stride = conv.stride[0]

    @staticmethod
    def take(kernels): return kernels[:, :, 0, 0]

    @staticmethod
    def put(kernels, weight): kernels[:, :, 0, 0] = weight

    def forward(self, x):
        pixels = x[:, :, ::self.stride, ::self.stride].permute(0, 2, 3, 1)
        return F.linear(pixels, self.weight).permute(0, 3, 1, 2)


class _Stem(FastConv2d):
    "The first convolution; `shrink` of 2 halves the images before it."
    shrink = 1

    def forward(self, x):
        if self.shrink == 1: return super().forward(x)
        x, gray = x.as_subclass(Tensor), x.stride(1) == 0 and x.shape[1] > 1
        return super().forward(F.avg_pool2d(x[:, :1], self.shrink).expand(-1, x.shape[1], -1, -1) if gray
                               else F.avg_pool2d(x, self.shrink))


def _fitting(conv, side):
    "The layer that does the work of `conv` on maps of `side` x `side`, or None."
    plain = conv.bias is None and conv.groups == 1 and conv.dilation == (1, 1) and conv.padding_mode == 'zeros'
    kind = (conv.kernel_size, conv.padding)
    if not plain or conv.stride[0] != conv.stride[1]: return None
    if kind == ((1, 1), (0, 0)): return _Pointwise
    if kind != ((3, 3), (1, 1)) or conv.stride[0] > 2: return None
    return {(1, 1): _OnePixel, (1, 2): _OnePixel, (2, 1): _Square, (2, 2): _FourPixels}.get((side, conv.stride[0]))


def trim(model: nn.Module,  # a resnet as `vision_learner` makes it; changed in place
         side: int = 28,  # images of side x side pixels
         shrink: int = 1,  # 2: the net halves the images first (other results!); 1: exactly the same function
         ) -> nn.Module:  # the same model, without the weights that images of this size never meet
    "Throw out of a convolutional net all weights that images of `side` x `side` pixels never meet."
    if any(isinstance(m, _Trimmed) for m in model.modules()): raise ValueError('this model has been trimmed before')
    convs = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    if not convs: raise ValueError('this model has no convolution; expected a resnet')
    sides, was = {}, model.training
    def note(name): return lambda m, x, y: sides.update({name: x[0].shape[-1]})
    hooks = [m.register_forward_hook(note(name)) for name, m in convs.items()]
    first, like = next(iter(convs.values())), next(model.parameters())
    with torch.no_grad(): model.eval()(like.new_zeros(2, first.in_channels, *[side // shrink] * 2))
    for o in hooks: o.remove()
    for name, conv in convs.items():
        parent, _, leaf = name.rpartition('.')
        if layer := _fitting(conv, sides[name]): setattr(model.get_submodule(parent), leaf, layer(conv))
        elif conv is first and type(conv) in (nn.Conv2d, FastConv2d): conv.__class__, conv.shrink = _Stem, shrink
        else: conv.to(memory_format=torch.channels_last)  # as the linear layers beside it like the maps
    return model.train(was)


def untrim(trimmed: nn.Module,  # what `trim` returned, trained or not
           model: nn.Module,  # the same architecture, not trimmed: its weights are overwritten
           ) -> nn.Module:  # `model`; weights that the trimmed net does not have keep their values
    "Write the weights of a trimmed net back into one of the usual form: the same function for images of that size."
    target = model.state_dict()  # shares its memory with the model
    for name, value in trimmed.state_dict().items():
        layer = trimmed.get_submodule(name.rpartition('.')[0])
        if isinstance(layer, _Trimmed): layer.put(target[name], value)
        else: target[name].copy_(value)
    return model


def fast_learner(path, bs=64, seed=0, trimmed=True, shrink=1) -> Learner:
    "`resnet_learner` with the same net, data and optimiser, computed without waste; `shrink` 2: images of 14x14, another net."
    set_seed(seed)
    dls = ImageDataLoaders.from_folder(path, bs=bs, dl_type=InMemoryDL, num_workers=0)
    learn = vision_learner(dls, resnet18, pretrained=False, loss_func=F.cross_entropy, metrics=accuracy,
                           opt_func=fused_adam)
    if dls.device.type == 'cpu': fast_convs(learn.model)
    if trimmed: trim(learn.model, 28, shrink)
    return learn
