// Questions, and the settings that answer them.

const MOONS = "data=moons&model.hidden=[6,4]&activation=tanh&bs=32&epochs=300";
const PARABOLA = "data=quadratic&model=polynomial&bs=8&epochs=60";

export const EXAMPLES = [
  { en: "How do hidden units make a boundary?", es: "¿Cómo hacen las unidades ocultas una frontera?",
    hash: `${MOONS}&optimizer=adam&optimizer.lr=0.03` },
  { en: "What does the learning rate do?", es: "¿Qué hace la tasa de aprendizaje?",
    hash: `${PARABOLA.replace("bs=8", "bs=full")}&optimizer=sgd&optimizer.lr=0.02&lane=optimizer.lr=0.3&lane=optimizer.lr=0.88` },
  { en: "What does momentum do?", es: "¿Qué hace el momento?",
    hash: `${PARABOLA.replace("bs=8", "bs=full")}&optimizer=sgd&optimizer.lr=0.05&lane=optimizer=momentum+optimizer.lr=0.05` },
  { en: "What does a small batch do?", es: "¿Qué hace un lote pequeño?",
    hash: `${PARABOLA.replace("bs=8", "bs=full")}&optimizer=sgd&optimizer.lr=0.1&lane=bs=4&lane=bs=1` },
  { en: "Which optimizer is the fastest?", es: "¿Qué optimizador es el más rápido?",
    hash: `${MOONS}&optimizer=sgd&optimizer.lr=0.1&lane=optimizer=momentum+optimizer.lr=0.1&lane=optimizer=adagrad+optimizer.lr=0.1&lane=optimizer=rmsprop+optimizer.lr=0.01&lane=optimizer=adam+optimizer.lr=0.03&lane=optimizer=bfgs+bs=full` },
  { en: "How much is luck? 64 seeds at once", es: "¿Cuánto es suerte? 64 semillas a la vez",
    hash: `${MOONS.replace("[6,4]", "[3]")}&optimizer=adam&optimizer.lr=0.03&seeds=64` },
  { en: "What do second derivatives buy?", es: "¿Qué dan las segundas derivadas?",
    hash: "data=moons&model=linear&bs=full&epochs=40&optimizer=sgd&optimizer.lr=0.5&lane=optimizer=newton&lane=optimizer=lbfgs" },
  { en: "Can a network learn without a gradient?", es: "¿Puede una red aprender sin gradiente?",
    hash: `${MOONS.replace("bs=32", "bs=full").replace("[6,4]", "[4]")}&optimizer=cma_es&lane=optimizer=genetic&lane=optimizer=hill_climb` },
  { en: "Why do gradients vanish?", es: "¿Por qué se desvanecen los gradientes?",
    hash: "data=moons&model.hidden=[6,6,6,6,6]&activation=sigmoid&bs=32&epochs=200&optimizer=sgd&optimizer.lr=0.3&lane=activation=tanh&lane=activation=relu" },
  { en: "What is overfitting, and what helps?", es: "¿Qué es el sobreajuste, y qué ayuda?",
    hash: "data=sine&data.samples=40&data.noise=0.3&model.hidden=[40,40]&activation=tanh&bs=8&epochs=600&optimizer=adam&optimizer.lr=0.01&lane=optimizer=adamw+optimizer.lr=0.01+optimizer.weight_decay=1&lane=model.dropout=0.3" },
  { en: "How unsure is it? A head with its own spread", es: "¿Cuán insegura está? Una cabeza con su dispersión",
    hash: "data=sine&data.noise=0.3&data.samples=300&model.hidden=[16,16]&activation=tanh&head=normal&bs=16&epochs=300&optimizer=adam&optimizer.lr=0.01" },
  { en: "Can it follow a spiral?", es: "¿Puede seguir una espiral?",
    hash: "data=spirals&model.hidden=[16,12,8]&activation=tanh&bs=32&epochs=600&optimizer=adam&optimizer.lr=0.01" },
];
