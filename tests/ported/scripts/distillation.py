import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


class DeepNN(nn.Module):
    def __init__(self, num_classes=10):
        super(DeepNN, self).__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2, stride=2),
            nn.Conv2d(8, 8, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2, stride=2),
        )
        self.classifier = nn.Sequential(
            nn.Linear(32, 16),
            nn.ReLU(),
            nn.Linear(16, num_classes),
        )

    def forward(self, x):
        x = self.features(x)
        x = torch.flatten(x, 1)
        x = self.classifier(x)
        return x


class LightNN(nn.Module):
    def __init__(self, num_classes=10):
        super(LightNN, self).__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2, stride=2),
            nn.Conv2d(4, 8, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2, stride=2),
        )
        self.classifier = nn.Sequential(nn.Linear(32, num_classes))

    def forward(self, x):
        hidden = torch.flatten(self.features(x), 1)
        return self.classifier(hidden), hidden


class DistillationLoss(nn.Module):
    """Hinton, Vinyals and Dean (2015)."""

    def __init__(self, T=2.0, alpha=0.75):
        super().__init__()
        self.T = T
        self.alpha = alpha

    def forward(self, student_logits, teacher_logits, labels):
        soft_targets = F.softmax(teacher_logits / self.T, dim=-1)
        soft_prob = F.log_softmax(student_logits / self.T, dim=-1)
        soft_loss = F.kl_div(soft_prob, soft_targets, reduction="batchmean") * (self.T**2)
        hard_loss = F.cross_entropy(student_logits, labels)
        return self.alpha * soft_loss + (1 - self.alpha) * hard_loss


def train_teacher(model, images, labels, epochs, learning_rate):
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=learning_rate)
    model.train()
    losses = []
    for epoch in range(epochs):
        optimizer.zero_grad()
        outputs = model(images)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        print(f"Epoch {epoch + 1}/{epochs}, Loss: {loss.item()}")
    return losses


def train_knowledge_distillation(teacher, student, images, labels, epochs, learning_rate):
    criterion = DistillationLoss()
    hidden_loss = nn.MSELoss()
    optimizer = optim.Adam(student.parameters(), lr=learning_rate)
    teacher.eval()  # Teacher set to evaluation mode
    student.train()  # Student to train mode
    losses = []
    for epoch in range(epochs):
        optimizer.zero_grad()
        # Forward pass with the teacher model - do not save gradients as we do not change the teacher's weights
        with torch.no_grad():
            teacher_logits = teacher(images)
            teacher_hidden = torch.flatten(teacher.features(images), 1)
        # Forward pass with the student model
        student_logits, student_hidden = student(images)
        loss = criterion(student_logits, teacher_logits, labels)
        loss = loss + 0.25 * hidden_loss(student_hidden, teacher_hidden)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        print(f"Epoch {epoch + 1}/{epochs}, Loss: {loss.item()}")
    return losses


def make_models():
    return [DeepNN(), LightNN()]


def train(teacher, student, images, labels):
    losses = train_teacher(teacher, images, labels, epochs=10, learning_rate=0.01)
    losses += train_knowledge_distillation(teacher, student, images, labels, epochs=10, learning_rate=0.01)
    return losses


def main():
    torch.manual_seed(42)
    train(*make_models(), torch.rand(8, 3, 8, 8), torch.randint(0, 10, (8,)))


if __name__ == "__main__":
    main()
