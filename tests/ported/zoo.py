"""Model classes of many kinds, as one finds them: each with what it is made of and what it is given."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    def __init__(self, dim, layer_scale_init_value=0.5):
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = LayerNorm2d(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.act = nn.GELU()
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(layer_scale_init_value * torch.ones((dim)), requires_grad=True)

    def forward(self, x):
        input = x
        x = self.dwconv(x)
        x = self.norm(x)
        x = x.permute(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
        x = self.pwconv1(x)
        x = self.act(x)
        x = self.pwconv2(x)
        if self.gamma is not None:
            x = self.gamma * x
        x = x.permute(0, 3, 1, 2)
        return input + x


class ShuffleUnit(nn.Module):
    def __init__(self, channels, groups=2):
        super().__init__()
        self.groups = groups
        half = channels // 2
        self.branch = nn.Sequential(
            nn.Conv2d(half, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False),
            nn.BatchNorm2d(half),
        )

    def channel_shuffle(self, x):
        batchsize, num_channels, height, width = x.size()
        channels_per_group = num_channels // self.groups
        x = x.view(batchsize, self.groups, channels_per_group, height, width)
        x = torch.transpose(x, 1, 2).contiguous()
        return x.view(batchsize, num_channels, height, width)

    def forward(self, x):
        x1, x2 = x.chunk(2, dim=1)
        out = torch.cat((x1, self.branch(x2)), dim=1)
        return self.channel_shuffle(out)


class MixerBlock(nn.Module):
    def __init__(self, tokens, dim):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.token_mix = nn.Sequential(nn.Linear(tokens, 8), nn.GELU(), nn.Linear(8, tokens))
        self.channel_mix = nn.Sequential(nn.Linear(dim, 8), nn.GELU(), nn.Linear(8, dim))

    def forward(self, x):
        x = x + self.token_mix(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channel_mix(self.norm2(x))


class CapsuleLayer(nn.Module):
    """Dynamic routing between capsules."""

    def __init__(self, in_caps, in_dim, out_caps, out_dim, routings=3):
        super().__init__()
        self.routings = routings
        self.weight = nn.Parameter(0.3 * torch.randn(out_caps, in_caps, out_dim, in_dim))

    def squash(self, inputs, axis=-1):
        norm = torch.norm(inputs, p=2, dim=axis, keepdim=True)
        scale = norm**2 / (1 + norm**2) / (norm + 1e-8)
        return scale * inputs

    def forward(self, x):
        x_hat = torch.squeeze(torch.matmul(self.weight, x[:, None, :, :, None]), dim=-1)
        x_hat_detached = x_hat.detach()
        b = torch.zeros(x.size(0), self.weight.size(0), self.weight.size(1)).to(x)
        for i in range(self.routings):
            c = F.softmax(b, dim=1)
            if i == self.routings - 1:
                outputs = self.squash(torch.sum(c[:, :, :, None] * x_hat, dim=-2, keepdim=True))
            else:
                outputs = self.squash(torch.sum(c[:, :, :, None] * x_hat_detached, dim=-2, keepdim=True))
                b = b + torch.sum(outputs * x_hat_detached, dim=-1)
        return torch.squeeze(outputs, dim=-2)


class ESPCN(nn.Module):
    def __init__(self, upscale_factor=2):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, (5, 5), (1, 1), (2, 2))
        self.conv3 = nn.Conv2d(8, upscale_factor**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)

    def forward(self, x):
        x = F.tanh(self.conv1(x))
        return torch.clamp(self.pixel_shuffle(self.conv3(x)), -0.2, 0.2)


class FPN(nn.Module):
    def __init__(self, channels=6):
        super().__init__()
        self.stages = nn.ModuleList([nn.Conv2d(3 if i == 0 else 4, 4, 3, stride=2, padding=1) for i in range(3)])
        self.lateral = nn.ModuleList([nn.Conv2d(4, channels, 1) for _ in range(3)])
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1)

    def _upsample_add(self, x, y):
        _, _, H, W = y.size()
        return F.interpolate(x, size=(H, W), mode="bilinear", align_corners=False) + y

    def forward(self, x):
        feats = []
        for stage in self.stages:
            x = F.relu(stage(x))
            feats.append(x)
        p = [self.lateral[-1](feats[-1])]
        for lateral, feat in zip(list(self.lateral)[-2::-1], feats[-2::-1]):
            p.insert(0, self._upsample_add(p[0], lateral(feat)))
        return [self.smooth(f) for f in p]


class SPP(nn.Module):
    def __init__(self, levels=(1, 2, 3)):
        super().__init__()
        self.levels = levels
        self.conv = nn.Conv2d(2, 3, 3)

    def forward(self, x):
        x = self.conv(x)
        bs, c, h, w = x.size()
        pooling_layers = []
        for n in self.levels:
            out = F.adaptive_max_pool2d(x, output_size=(n, n))
            pooling_layers.append(out.view(bs, -1))
        return torch.cat(pooling_layers, dim=-1)


class ArcMarginProduct(nn.Module):
    def __init__(self, in_features, out_features, s=8.0, m=0.5):
        super().__init__()
        self.s, self.m = s, m
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.cos_m, self.sin_m = math.cos(m), math.sin(m)
        self.th, self.mm = math.cos(math.pi - m), math.sin(math.pi - m) * m

    def forward(self, input, label):
        cosine = F.linear(F.normalize(input), F.normalize(self.weight))
        sine = torch.sqrt(1.0 - torch.pow(cosine, 2))
        phi = cosine * self.cos_m - sine * self.sin_m
        phi = torch.where(cosine > self.th, phi, cosine - self.mm)
        one_hot = F.one_hot(label, cosine.size(1))
        output = (one_hot * phi) + ((1.0 - one_hot) * cosine)
        return output * self.s


class NTXent(nn.Module):
    def __init__(self, temperature=0.5):
        super().__init__()
        self.temperature = temperature
        self.proj = nn.Linear(5, 4)

    def forward(self, zi, zj):
        z = F.normalize(self.proj(torch.cat([zi, zj], dim=0)), dim=1)
        n = z.size(0)
        sim = torch.mm(z, z.t()) / self.temperature
        mask = torch.eye(n, dtype=torch.bool)
        sim = sim.masked_fill(mask, -1e9)
        targets = (torch.arange(n) + n // 2) % n
        return F.cross_entropy(sim, targets)


class Prototypes(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 4))

    def forward(self, support, query):
        way, shot, d = support.shape
        proto = self.encoder(support.view(way * shot, d)).view(way, shot, -1).mean(1)
        q = self.encoder(query)
        dists = torch.pow(q.unsqueeze(1).expand(-1, way, -1) - proto.unsqueeze(0).expand(q.size(0), -1, -1), 2).sum(2)
        return F.log_softmax(-dists, dim=1)


class MixtureOfExperts(nn.Module):
    def __init__(self, experts=3):
        super().__init__()
        self.experts = nn.ModuleList([nn.Linear(5, 4) for _ in range(experts)])
        self.gate = nn.Linear(5, experts)

    def forward(self, x):
        weights = self.gate(x).softmax(-1)
        topv, topi = weights.topk(2, dim=-1)
        outs = torch.stack([expert(x) for expert in self.experts], dim=1)
        soft = torch.einsum("be,bed->bd", weights, outs)
        hard = sum(topv[:, k : k + 1] * outs[torch.arange(len(x)), topi[:, k]] for k in range(2))
        return soft, hard


class FiLM(nn.Module):
    def __init__(self, channels=4, cond=3):
        super().__init__()
        self.conv = nn.Conv2d(2, channels, 3, padding="same")
        self.affine = nn.Linear(cond, 2 * channels)

    def forward(self, x, c):
        gamma, beta = torch.chunk(self.affine(c), 2, dim=-1)
        out = (1 + gamma[..., None, None]) * self.conv(x) + beta.unsqueeze(-1).unsqueeze(-1)
        return F.leaky_relu(out, 0.2)


class ModulatedConv2d(nn.Module):
    """StyleGAN 2."""

    def __init__(self, in_channel, out_channel, kernel_size, style_dim):
        super().__init__()
        self.eps = 1e-8
        self.kernel_size, self.in_channel, self.out_channel = kernel_size, in_channel, out_channel
        self.padding = kernel_size // 2
        self.scale = 1 / math.sqrt(in_channel * kernel_size**2)
        self.weight = nn.Parameter(torch.randn(1, out_channel, in_channel, kernel_size, kernel_size))
        self.modulation = nn.Linear(style_dim, in_channel)

    def forward(self, input, style):
        batch, in_channel, height, width = input.shape
        style = self.modulation(style).view(batch, 1, in_channel, 1, 1)
        weight = self.scale * self.weight * style
        demod = torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8)
        weight = weight * demod.view(batch, self.out_channel, 1, 1, 1)
        weight = weight.view(batch * self.out_channel, in_channel, self.kernel_size, self.kernel_size)
        input = input.reshape(1, batch * in_channel, height, width)
        out = F.conv2d(input, weight, padding=self.padding, groups=batch)
        _, _, height, width = out.shape
        return out.view(batch, self.out_channel, height, width)


class Highway(nn.Module):
    def __init__(self, size, num_layers):
        super().__init__()
        self.num_layers = num_layers
        self.nonlinear = nn.ModuleList([nn.Linear(size, size) for _ in range(num_layers)])
        self.gate = nn.ModuleList([nn.Linear(size, size) for _ in range(num_layers)])

    def forward(self, x):
        for layer in range(self.num_layers):
            gate = torch.sigmoid(self.gate[layer](x))
            nonlinear = F.relu(self.nonlinear[layer](x))
            x = gate * nonlinear + (1 - gate) * x
        return x


class NonLocal(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.inter = channels // 2
        self.g = nn.Conv2d(channels, self.inter, 1)
        self.theta = nn.Conv2d(channels, self.inter, 1)
        self.phi = nn.Sequential(nn.Conv2d(channels, self.inter, 1), nn.MaxPool2d(2))
        self.W = nn.Conv2d(self.inter, channels, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        batch_size = x.size(0)
        g_x = self.pool(self.g(x)).view(batch_size, self.inter, -1).permute(0, 2, 1)
        theta_x = self.theta(x).view(batch_size, self.inter, -1).permute(0, 2, 1)
        phi_x = self.phi(x).view(batch_size, self.inter, -1)
        f_div_C = F.softmax(torch.bmm(theta_x, phi_x), dim=-1)
        y = torch.matmul(f_div_C, g_x).permute(0, 2, 1).contiguous()
        y = y.view(batch_size, self.inter, *x.size()[2:])
        return self.W(y) + x


class CRFLikeLoss(nn.Module):
    """Log-sum-exp over paths, with transitions: a loop over positions and a gathered score."""

    def __init__(self, tags=4):
        super().__init__()
        self.transitions = nn.Parameter(torch.randn(tags, tags))
        self.start = nn.Parameter(torch.randn(tags))
        self.emit = nn.Linear(5, tags)

    def forward(self, feats, tags):
        emissions = self.emit(feats)
        batch, length, n = emissions.size()
        alpha = self.start + emissions[:, 0]
        score = self.start[tags[:, 0]] + emissions[:, 0].gather(1, tags[:, 0].unsqueeze(1)).squeeze(1)
        for t in range(1, length):
            alpha = torch.logsumexp(alpha.unsqueeze(2) + self.transitions.unsqueeze(0), dim=1) + emissions[:, t]
            score = score + self.transitions[tags[:, t - 1], tags[:, t]]
            score = score + emissions[:, t].gather(1, tags[:, t].unsqueeze(1)).squeeze(1)
        return (torch.logsumexp(alpha, dim=1) - score).mean()


class FourierFeatures(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("B", torch.randn(2, 6))
        self.net = nn.Sequential(nn.Linear(12, 8), nn.Softplus(), nn.Linear(8, 3), nn.Sigmoid())

    def forward(self, xy):
        proj = 2 * math.pi * xy @ self.B
        return self.net(torch.cat([torch.sin(proj), torch.cos(proj)], dim=-1))


class SelfCalling(nn.Module):
    """A tree of halves: the module calls itself on parts."""

    def __init__(self, dim=3):
        super().__init__()
        self.merge = nn.Linear(2 * dim, dim)

    def forward(self, x):
        if x.size(1) == 1:
            return x[:, 0]
        middle = x.size(1) // 2
        return torch.tanh(self.merge(torch.cat([self(x[:, :middle]), self(x[:, middle:])], dim=-1)))


class SqueezeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.squeeze = nn.Conv2d(3, 2, kernel_size=1)
        self.expand1x1 = nn.Conv2d(2, 4, kernel_size=1)
        self.expand3x3 = nn.Conv2d(2, 4, kernel_size=3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.relu(self.squeeze(x))
        x = torch.cat([self.relu(self.expand1x1(x)), self.relu(self.expand3x3(x))], 1)
        return F.max_pool2d(x, kernel_size=3, stride=2, ceil_mode=True)


class ScaledStdBatch(nn.Module):
    """Minibatch standard deviation, as progressive GANs have it, and pixelwise normalization."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        y = x - torch.mean(x, dim=0, keepdim=True)
        y = torch.mean(y**2, dim=0)
        y = torch.sqrt(y + 1e-8)
        y = y.mean().view(1, 1, 1, 1).repeat(x.size(0), 1, x.size(2), x.size(3))
        x = self.conv(torch.cat([x, y], 1))
        return x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + 1e-8)


class LocalWindow(nn.Module):
    """Swin: windows, a cyclic shift and a relative position bias."""

    def __init__(self, dim=4, window=2, heads=2):
        super().__init__()
        self.window, self.heads = window, heads
        self.qkv = nn.Linear(dim, dim * 3)
        self.bias_table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads))
        coords = torch.stack([torch.arange(window * window) // window, torch.arange(window * window) % window])
        relative = coords[:, :, None] - coords[:, None, :] + (window - 1)
        self.register_buffer("index", relative[0] * (2 * window - 1) + relative[1])

    def forward(self, x):
        B, H, W, C = x.shape
        w = self.window
        x = torch.roll(x, shifts=(-1, -1), dims=(1, 2))
        x = x.view(B, H // w, w, W // w, w, C).permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, w * w, C)
        qkv = self.qkv(x).reshape(x.shape[0], w * w, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        attn = (q * (C // self.heads) ** -0.5) @ k.transpose(-2, -1)
        bias = self.bias_table[self.index.reshape(-1)].view(w * w, w * w, -1).permute(2, 0, 1).contiguous()
        attn = F.softmax(attn + bias.unsqueeze(0), dim=-1)
        x = (attn @ v).transpose(1, 2).reshape(-1, w * w, C)
        x = x.view(B, H // w, W // w, w, w, C).permute(0, 1, 3, 2, 4, 5).reshape(B, H, W, C)
        return torch.roll(x, shifts=(1, 1), dims=(1, 2))


class YoloHead(nn.Module):
    def __init__(self, anchors=((1.0, 2.0), (2.0, 1.0)), classes=3):
        super().__init__()
        self.anchors, self.classes = anchors, classes
        self.conv = nn.Conv2d(4, len(anchors) * (5 + classes), 1)

    def forward(self, x):
        n, _, h, w = x.shape
        out = self.conv(x).view(n, len(self.anchors), 5 + self.classes, h, w).permute(0, 1, 3, 4, 2).contiguous()
        xy = torch.sigmoid(out[..., 0:2])
        wh = torch.exp(out[..., 2:4])
        anchors = torch.tensor(self.anchors).to(x).view(1, -1, 1, 1, 2)
        conf = out[..., 4:5].sigmoid()
        cls = torch.sigmoid(out[..., 5:])
        boxes = torch.cat((xy, wh * anchors), -1)
        return torch.cat((boxes, conf, cls), -1).view(n, -1, 5 + self.classes)


# for each: what makes it, and the shapes of its inputs; of integers, how many there are comes first
ZOO = [
    (lambda: ConvNeXtBlock(3), [(2, 3, 8, 8)]),
    (lambda: ShuffleUnit(8), [(3, 8, 5, 5)]),
    (lambda: MixerBlock(5, 6), [(2, 5, 6)]),
    (lambda: CapsuleLayer(6, 4, 3, 5), [(2, 6, 4)]),
    (lambda: ESPCN(), [(2, 1, 6, 7)]),
    (lambda: FPN(), [(2, 3, 17, 16)]),
    (lambda: SPP(), [(2, 2, 9, 11)]),
    (lambda: ArcMarginProduct(5, 4), [(6, 5), ("integers", 4, 6)]),
    (lambda: NTXent(), [(4, 5), (4, 5)]),
    (lambda: Prototypes(), [(3, 2, 5), (4, 5)]),
    (lambda: MixtureOfExperts(), [(4, 5)]),
    (lambda: FiLM(), [(2, 2, 5, 5), (2, 3)]),
    (lambda: ModulatedConv2d(3, 4, 3, 5), [(2, 3, 6, 6), (2, 5)]),
    (lambda: Highway(5, 3), [(4, 5)]),
    (lambda: NonLocal(4), [(2, 4, 6, 6)]),
    (lambda: CRFLikeLoss(), [(3, 6, 5), ("integers", 4, 3, 6)]),
    (lambda: FourierFeatures(), [(7, 2)]),
    (lambda: SelfCalling(), [(2, 7, 3)]),
    (lambda: SqueezeNet(), [(2, 3, 8, 8)]),
    (lambda: ScaledStdBatch(), [(3, 2, 6, 6)]),
    (lambda: LocalWindow(), [(2, 4, 6, 4)]),
    (lambda: YoloHead(), [(2, 4, 3, 3)]),
]
