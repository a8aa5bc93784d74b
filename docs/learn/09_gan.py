r"""
9. Two networks against each other (GAN)
========================================

*Key terms: generative adversarial network* 生成对抗网络, *generator* 生成器, *discriminator* 判别器,
*unsupervised learning* 无监督学习

Nobody says here what is right. A **generator** makes samples out of random numbers; a **discriminator** sees real
samples and made ones and says which are which. Each is trained on the other's mistakes: the discriminator to tell them
apart, the generator to be taken for real (Goodfellow et al., *Generative adversarial nets*, 2014).

The samples are places in the plane, so that one can see how well it goes: real ones lie on a ring.
"""

import numpy as np

import nnkit
from nnkit import nn, optim
from nnkit.nn import functional as F


def real(count):
    angle = nnkit.rand(count) * 2 * np.pi
    radius = 1.0 + 0.05 * nnkit.randn(count)
    return nnkit.stack([radius * nnkit.cos(angle), radius * nnkit.sin(angle)], dim=1)


def network(outputs, inputs):
    return nn.Sequential(
        nn.Linear(inputs, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, outputs)
    )


nnkit.manual_seed(0)
generator, discriminator = network(2, inputs=4), network(1, inputs=2)
makes = optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
tells = optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999))
BATCH = 128
yes, no = nnkit.ones(BATCH, 1), nnkit.zeros(BATCH, 1)

# %%
# One step trains each once. ``detach()`` keeps the discriminator's loss from reaching the generator. A step of one's
# own is recorded with ``nnkit.compile``: from its third call on it is replayed without Python.


@nnkit.compile
def step():
    made = generator(nnkit.randn(BATCH, 4))
    tells.zero_grad()
    telling = F.binary_cross_entropy_with_logits(discriminator(real(BATCH)), yes)
    telling = telling + F.binary_cross_entropy_with_logits(discriminator(made.detach()), no)
    telling.backward()
    tells.step()
    makes.zero_grad()
    making = F.binary_cross_entropy_with_logits(discriminator(made), yes)
    making.backward()
    makes.step()
    return telling.detach(), making.detach()


noise = nnkit.randn(400, 4)
pictures, losses = {}, []
for number in range(3001):
    if number in (0, 100, 500, 3000):
        with nnkit.no_grad():
            pictures[number] = generator(noise).numpy()
    telling, making = step()
    if number % 20 == 0:
        losses.append((telling.item(), making.item()))

for number, places in pictures.items():
    radius = np.hypot(*places.T)
    print(f"step {number:5}: distance from the middle {radius.mean():.2f} +- {radius.std():.2f}  (real: 1.00 +- 0.05)")

# %%

from matplotlib import pyplot

figure, panels = pyplot.subplots(1, 4, figsize=(10, 2.8), sharex=True, sharey=True, layout="constrained")
ring = real(400).numpy()
for axes, (number, places) in zip(panels, pictures.items(), strict=True):
    axes.scatter(*ring.T, s=3, color="C5", label="real")
    axes.scatter(*places.T, s=3, color="C3", label="made")
    axes.set(title=f"step {number}", aspect="equal", xlim=(-1.8, 1.8), ylim=(-1.8, 1.8))
panels[0].legend(loc="lower left", markerscale=3, fontsize=8)

# %%
# The two losses do not sink as other losses do: each network's progress is the other's setback. Where the discriminator
# can tell nothing, its loss is 2 log 2 and the generator's log 2.

figure, axes = pyplot.subplots(figsize=(7, 2.8), layout="constrained")
telling, making = np.array(losses).T
axes.plot(np.arange(len(telling)) * 20, telling, linewidth=1, label="discriminator")
axes.plot(np.arange(len(making)) * 20, making, "--", linewidth=1, label="generator")
axes.axhline(2 * np.log(2), color="black", linestyle=":", linewidth=1)
axes.axhline(np.log(2), color="black", linestyle=":", linewidth=1)
axes.set(xlabel="step", ylabel="loss", ylim=(0.5, 1.6))
axes.legend(loc="center right")
pyplot.show()
