// node server.mjs FOLDER: @tus/server with @tus/file-store at /files, with all that they can do turned on.
// Prints the port that it has chosen, and ends with its standard input.
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const [directory] = process.argv.slice(2);
const datastore = new FileStore({ directory, expirationPeriodInMilliseconds: 60 * 60 * 1000 });
const tus = new Server({ path: "/files", datastore, maxSize: 2 ** 30 });
const listening = tus.listen({ host: "127.0.0.1", port: 0 }, () => console.log(listening.address().port));
process.stdin.resume().on("end", () => process.exit());
