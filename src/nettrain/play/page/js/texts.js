// All words of the page, in English and Spanish. Keys of the config, values and commands stay as they are.

const TEXTS = {
  en: {
    // transport
    transport: "Training", play: "Play or pause (space)", reset: "Start again from the same start (r)", theme: "Light or dark", language: "Language",
    stepUpdate: "+1 update", stepEpoch: "+1 epoch", stepUpdateHelp: "One update with one batch (u)", stepEpochHelp: "To the end of the epoch (e)",
    speed: "Speed", perUpdate: "1 update a frame", perEpoch: "1 epoch a frame", perTen: "10 epochs a frame", fast: "as fast as it can",
    epoch: "epoch", updates: "updates", layer: "layer", unit: "unit",
    // panels
    boundary: "What it has learnt", loss: "Loss", network: "Inside the network", surface: "The loss over two weights", layers: "Layers",
    batches: "Updates of the epoch", eachSeed: "Each seed", eachSeedHint: "validation loss; choose one to see it alone",
    command: "The same on the command line", commandHint: "trains the same run, with the same numbers", copy: "Copy", copied: "Copied",
    networkHint: "point at a unit to see it large", noHidden: "this model has no hidden units",
    blend: "mean of all seeds, and the boundary of each", curvesOfAll: "the curve of each seed, and their median",
    train: "training", val: "validation", gradientNorm: "gradient norm", saturated: "saturated", dead: "dead units",
    afterFirstEpoch: "After the first epoch: how long each layer's gradient is, and how many of its units are saturated.",
    noBatches: "After the first update: the loss of each batch before its update. Point at a bar to see its samples.",
    batchNote: (done, total, size) => `${done} of ${total}, each with up to ${size} samples`,
    start: "start", minimum: "minimum", third: (name, value) => `${name} stays at its present value, ${value}`,
    quantiles: "median, quartiles, range over the seeds",
    finished: "has trained all its epochs", stopped: "ended", diverged: "diverged", frames: "frames a second", engine: "engine",
    ofSeeds: (n, m) => `${n} of ${m} seeds have diverged`,
    parameters: "weights", trainMark: "filled: training", valMark: "hollow: validation",
    // settings
    examples: "Questions", examplesPrompt: "choose a question …", data: "Data", features: "Features", model: "Network", output: "Output and loss", optimizer: "Optimizer",
    run: "Run", race: "Race", seeds: "Seeds", more: "more settings", addLane: "Add a lane", removeLane: "Remove this lane", otherSettings: "other settings, such as activation=relu",
    raceHelp: "All lanes train on the same data from the same start.", oneSeed: "one seed", manySeeds: "64 seeds at once, as one stack",
    branch_gradient: "gradient", branch_curvature: "second derivatives", branch_search: "search, no gradient",
    moons: "moons", spirals: "spirals", sine: "sine", quadratic: "parabola", drawing: "my own drawing", upload: "my own file …",
    ofTable: "two columns of", horizontal: "across", vertical: "up", target: "target", noColumn: "none", draw: "Draw …", chooseFile: "Choose a table …",
    hidden: "units of the hidden layers", addLayer: "Add a layer", removeLayer: "Remove the last layer", moreUnits: "One unit more", fewerUnits: "One unit less",
    // keys
    "data.samples": "points", "data.noise": "noise", "data.data_seed": "seed of the points", "data.val_fraction": "validation share", "data.numbers": "encoding", "data.bins": "bins",
    "data.w1": "w1", "data.w2": "w2", "data.w3": "w3", "model.degree": "degree", "model.periodic": "frequencies", "model.sigma": "spread of frequencies", "model.dropout": "dropout",
    activation: "activation", head: "head", schedule: "schedule", "optimizer.lr": "learning rate", "optimizer.weight_decay": "weight decay", "optimizer.momentum": "momentum",
    bs: "batch size", epochs: "epochs", seed: "seed", precision: "precision", on_divergence: "on divergence",
    // drawing
    drawTitle: "Draw your own data", drawPlane: "points of classes in the plane", drawCurve: "points of a curve", drawHelp: "Press and drag to spray points. With the keyboard: arrows move the cursor, space sets a point.",
    clear: "Clear", use: "Use it", cancel: "Cancel", points: (n) => `${n} points`,
  },
  es: {
    transport: "Entrenamiento", play: "Seguir o pausar (espacio)", reset: "Empezar otra vez desde el mismo inicio (r)", theme: "Claro u oscuro", language: "Idioma",
    stepUpdate: "+1 actualización", stepEpoch: "+1 época", stepUpdateHelp: "Una actualización con un lote (u)", stepEpochHelp: "Hasta el final de la época (e)",
    speed: "Velocidad", perUpdate: "1 actualización por imagen", perEpoch: "1 época por imagen", perTen: "10 épocas por imagen", fast: "tan rápido como pueda",
    epoch: "época", updates: "actualizaciones", layer: "capa", unit: "unidad",
    boundary: "Lo que ha aprendido", loss: "Pérdida", network: "Dentro de la red", surface: "La pérdida sobre dos pesos", layers: "Capas",
    batches: "Actualizaciones de la época", eachSeed: "Cada semilla", eachSeedHint: "pérdida de validación; elija una para verla sola",
    command: "Lo mismo en la línea de comandos", commandHint: "entrena la misma red, con los mismos números", copy: "Copiar", copied: "Copiado",
    networkHint: "señale una unidad para verla en grande", noHidden: "este modelo no tiene unidades ocultas",
    blend: "media de todas las semillas, y la frontera de cada una", curvesOfAll: "la curva de cada semilla, y su mediana",
    train: "entrenamiento", val: "validación", gradientNorm: "norma del gradiente", saturated: "saturadas", dead: "unidades muertas",
    afterFirstEpoch: "Tras la primera época: la longitud del gradiente de cada capa, y cuántas de sus unidades están saturadas.",
    noBatches: "Tras la primera actualización: la pérdida de cada lote antes de su actualización. Señale una barra para ver sus muestras.",
    batchNote: (done, total, size) => `${done} de ${total}, cada una con hasta ${size} muestras`,
    start: "inicio", minimum: "mínimo", third: (name, value) => `${name} queda en su valor actual, ${value}`,
    quantiles: "mediana, cuartiles y rango de las semillas",
    finished: "ha entrenado todas sus épocas", stopped: "terminó", diverged: "divergió", frames: "imágenes por segundo", engine: "motor",
    ofSeeds: (n, m) => `${n} de ${m} semillas divergieron`,
    parameters: "pesos", trainMark: "lleno: entrenamiento", valMark: "hueco: validación",
    examples: "Preguntas", examplesPrompt: "elija una pregunta …", data: "Datos", features: "Características", model: "Red", output: "Salida y pérdida", optimizer: "Optimizador",
    run: "Ejecución", race: "Carrera", seeds: "Semillas", more: "más ajustes", addLane: "Añadir un carril", removeLane: "Quitar este carril", otherSettings: "otros ajustes, como activation=relu",
    raceHelp: "Todos los carriles entrenan con los mismos datos desde el mismo inicio.", oneSeed: "una semilla", manySeeds: "64 semillas a la vez, en una sola pila",
    branch_gradient: "gradiente", branch_curvature: "segundas derivadas", branch_search: "búsqueda, sin gradiente",
    moons: "lunas", spirals: "espirales", sine: "seno", quadratic: "parábola", drawing: "mi propio dibujo", upload: "mi propio archivo …",
    ofTable: "dos columnas de", horizontal: "horizontal", vertical: "vertical", target: "objetivo", noColumn: "ninguna", draw: "Dibujar …", chooseFile: "Elegir una tabla …",
    hidden: "unidades de las capas ocultas", addLayer: "Añadir una capa", removeLayer: "Quitar la última capa", moreUnits: "Una unidad más", fewerUnits: "Una unidad menos",
    "data.samples": "puntos", "data.noise": "ruido", "data.data_seed": "semilla de los puntos", "data.val_fraction": "parte de validación", "data.numbers": "codificación", "data.bins": "intervalos",
    "data.w1": "w1", "data.w2": "w2", "data.w3": "w3", "model.degree": "grado", "model.periodic": "frecuencias", "model.sigma": "dispersión de frecuencias", "model.dropout": "dropout",
    activation: "activación", head: "cabeza", schedule: "plan de la tasa", "optimizer.lr": "tasa de aprendizaje", "optimizer.weight_decay": "decaimiento de pesos", "optimizer.momentum": "momento",
    bs: "tamaño del lote", epochs: "épocas", seed: "semilla", precision: "precisión", on_divergence: "si diverge",
    drawTitle: "Dibuje sus propios datos", drawPlane: "puntos de clases en el plano", drawCurve: "puntos de una curva", drawHelp: "Pulse y arrastre para esparcir puntos. Con el teclado: las flechas mueven el cursor, la barra pone un punto.",
    clear: "Borrar", use: "Usarlo", cancel: "Cancelar", points: (n) => `${n} puntos`,
  },
};

let language = "en";

export function setLanguage(name) {
  language = name in TEXTS ? name : "en";
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of document.querySelectorAll("[data-title]")) {
    element.title = t(element.dataset.title);
    element.setAttribute("aria-label", element.title);
  }
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
}

export const currentLanguage = () => language;

export function t(key, ...values) {
  const text = TEXTS[language][key] ?? key;
  return typeof text === "function" ? text(...values) : text;
}

export const has = (key) => key in TEXTS[language];

// The texts that one language has and the other lacks, for tests.
export const missing = () => {
  const [en, es] = [Object.keys(TEXTS.en), Object.keys(TEXTS.es)];
  return [...en.filter((key) => !es.includes(key)), ...es.filter((key) => !en.includes(key))];
};
