import { isOurs, type ArqonError } from "./errors.js";

/** For small programs: run `main`; an error of the bus is two lines and an exit code, instead of a dump of this client. */
export async function run(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (wrong) {
    if (!isOurs(wrong)) throw wrong;
    console.error(inTwoLines(wrong));
    const node = (globalThis as { process?: { exitCode?: number | string | null | undefined } }).process;
    if (node !== undefined) node.exitCode = wrong.denied ? 4 : 1;
  }
}

const inTwoLines = (wrong: ArqonError): string =>
  `error: ${wrong.message} [${wrong.code}]${wrong.hint === "" ? "" : `\nhint: ${wrong.hint}`}`;
