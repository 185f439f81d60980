// Questions to the server, which trains; an answer that is a sentence on a mistake is thrown as `Mistake`.

export class Mistake extends Error {}
export class Gone extends Error {}

export async function ask(question, content) {
  let answer;
  try {
    answer = await fetch(`/api/${question}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(content),
    });
  } catch {
    throw new Mistake("nettrain-play does not answer: has it been ended in its terminal?");
  }
  const found = await answer.json();
  if (answer.status === 410) throw new Gone(found.error);
  if (!answer.ok) throw new Mistake(found.error);
  return found;
}
