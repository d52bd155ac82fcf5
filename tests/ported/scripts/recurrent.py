import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class GRUCell(nn.Module):
    """An implementation of GRUCell."""

    def __init__(self, input_size, hidden_size, bias=True):
        super(GRUCell, self).__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        self.x2h = nn.Linear(input_size, 3 * hidden_size, bias=bias)
        self.h2h = nn.Linear(hidden_size, 3 * hidden_size, bias=bias)
        self.reset_parameters()

    def reset_parameters(self):
        std = 1.0 / math.sqrt(self.hidden_size)
        for w in self.parameters():
            nn.init.uniform_(w, -std, std)

    def forward(self, x, hidden):
        x = x.view(-1, x.size(1))

        gate_x = self.x2h(x)
        gate_h = self.h2h(hidden)

        i_r, i_i, i_n = gate_x.chunk(3, 1)
        h_r, h_i, h_n = gate_h.chunk(3, 1)

        resetgate = F.sigmoid(i_r + h_r)
        inputgate = F.sigmoid(i_i + h_i)
        newgate = F.tanh(i_n + (resetgate * h_n))

        hy = newgate + inputgate * (hidden - newgate)
        return hy


class GRUModel(nn.Module):
    def __init__(self, input_dim, hidden_dim, output_dim):
        super(GRUModel, self).__init__()
        self.hidden_dim = hidden_dim
        self.gru_cell = GRUCell(input_dim, hidden_dim)
        self.fc = nn.Linear(hidden_dim, output_dim)

    def forward(self, x):
        # rows of the image are the steps in time
        hn = torch.zeros(x.size(0), self.hidden_dim, dtype=x.dtype)
        outs = []
        for seq in range(x.size(1)):
            hn = self.gru_cell(x[:, seq, :], hn)
            outs.append(hn)
        out = outs[-1].squeeze()
        out = self.fc(out)
        return out


class LSTMTagger(nn.Module):
    def __init__(self, vocab_size, embed_size, hidden_size, tags):
        super().__init__()
        self.hidden_size = hidden_size
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.i2h = nn.Linear(embed_size, 4 * hidden_size)
        self.h2h = nn.Linear(hidden_size, 4 * hidden_size)
        self.hidden2tag = nn.Linear(hidden_size, tags)

    def init_hidden(self, like):
        return like.new_zeros(like.size(0), self.hidden_size), like.new_zeros(like.size(0), self.hidden_size)

    def forward(self, sentence):
        embeds = self.embedding(sentence)
        h, c = self.init_hidden(embeds)
        tag_space = []
        for t in range(sentence.size(1)):
            gates = self.i2h(embeds[:, t]) + self.h2h(h)
            i, f, g, o = torch.split(gates, self.hidden_size, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            tag_space.append(self.hidden2tag(h))
        return F.log_softmax(torch.stack(tag_space, dim=2), dim=1)


def make_models():
    return [GRUModel(8, 12, 5), LSTMTagger(11, 6, 7, 4)]


def train(gru, lstm, images, labels, sentences, tags):
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(gru.parameters(), lr=0.5)
    loss_list = []
    for epoch in range(10):
        optimizer.zero_grad()
        outputs = gru(images)
        loss = criterion(outputs, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(gru.parameters(), max_norm=0.5)
        optimizer.step()
        loss_list.append(loss.item())

    loss_function = nn.NLLLoss()
    optimizer = torch.optim.Adam(lstm.parameters(), lr=0.02)
    for epoch in range(10):
        lstm.zero_grad()
        tag_scores = lstm(sentences)
        loss = loss_function(tag_scores, tags)
        loss.backward()
        optimizer.step()
        loss_list.append(loss.item())
        print("epoch", epoch, "loss", loss.item())
    return loss_list


def main():
    torch.manual_seed(0)
    sentences, tags = torch.randint(0, 11, (3, 6)), torch.randint(0, 4, (3, 6))
    train(*make_models(), torch.rand(5, 8, 8), torch.randint(0, 5, (5,)), sentences, tags)


if __name__ == "__main__":
    main()
