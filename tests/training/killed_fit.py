"""A fit with checkpoints that tests/training/test_checkpoint.py kills: python killed_fit.py FOLDER."""

import sys
from pathlib import Path

import minidl
from minidl import models, nn, optim
from minidl.data import DataLoader, load_digits
from minidl.data.transforms import RandomCrop
from minidl.training import ModelCheckpoint, Trainer
from minidl.training.callbacks import EarlyStopping, EMAWeights

folder = Path(sys.argv[1])
minidl.manual_seed(0)
train, test = load_digits()
model = models.digits_cnn()
optimizer = optim.SGD(model.params(), lr=0.05, momentum=0.9)
loader = DataLoader(train, 32, shuffle=True, transform=RandomCrop(8, padding=1))
scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=4 * len(loader))
trainer = Trainer(
    model,
    nn.CrossEntropyLoss(),
    optimizer,
    scheduler=scheduler,
    callbacks=[EMAWeights(), ModelCheckpoint(folder, every=5), EarlyStopping()],
    progress="none",
)
trainer.fit(loader, DataLoader(test, 256), epochs=4, resume=folder)
minidl.save(model, folder / "weights.npz")
