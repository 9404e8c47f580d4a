/**
 * Speaks to `docker-credential-NAME`, a program that keeps secrets in a keychain: `get`, `store` and `erase`, with the
 * registry's address on stdin. Source: docker-credential-helpers, README and client/.
 */
import { spawn } from "node:child_process";
import * as v from "valibot";
import { LamellaError } from "../../errors/index.ts";
import type { Credentials } from "./contract.ts";

/** A helper may ask a cloud, or a person. */
const HELPER_MS = 60_000;
const MAX_ANSWER_BYTES = 1 << 20;
/** The name of a user that says that the secret is an identity token. */
const TOKEN_USER = "<token>";

const answerSchema = v.object({ Username: v.string(), Secret: v.string() });

interface Run {
	readonly exitCode: number | null;
	readonly stdout: string;
	readonly stderr: string;
}

export class CredentialHelper {
	readonly program: string;
	readonly #timeoutMs: number;

	/** @throws {LamellaError} `ECONFIG` for a name that leads to another directory */
	constructor(name: string, timeoutMs: number = HELPER_MS) {
		if (!/^[\w.+-]+$/.test(name)) {
			throw new LamellaError("ECONFIG", `${JSON.stringify(name)} is not the name of a credential helper`);
		}
		this.program = `docker-credential-${name}`;
		this.#timeoutMs = timeoutMs;
	}

	/** Undefined where the helper has nothing for it. @throws {LamellaError} `ECONFIG` */
	async get(server: string): Promise<Credentials | undefined> {
		const { exitCode, stdout, stderr } = await this.#run("get", server);
		if (exitCode !== 0) {
			if (/credentials not found/i.test(stdout + stderr)) return undefined;
			throw this.#failed("get", server, exitCode, stdout, stderr);
		}
		let answer: unknown;
		try {
			answer = JSON.parse(stdout);
		} catch {
			// What it said may be a secret.
		}
		const result = v.safeParse(answerSchema, answer);
		if (!result.success) {
			throw new LamellaError(
				"ECONFIG",
				`${this.program} get answered for ${server} with something else than JSON with a Username and a Secret`,
			);
		}
		const { Username: username, Secret: secret } = result.output;
		if (username === "" && secret === "") return undefined;
		return username === TOKEN_USER ? { identityToken: secret } : { username, password: secret };
	}

	/** @throws {LamellaError} `ECONFIG` */
	async store(server: string, username: string, password: string): Promise<void> {
		const input = JSON.stringify({ ServerURL: server, Username: username, Secret: password });
		const { exitCode, stdout, stderr } = await this.#run("store", input);
		const without = (text: string): string => (password === "" ? text : text.replaceAll(password, "***"));
		if (exitCode !== 0) throw this.#failed("store", server, exitCode, without(stdout), without(stderr));
	}

	/** @returns whether it had something. @throws {LamellaError} `ECONFIG` */
	async erase(server: string): Promise<boolean> {
		const had = (await this.get(server)) !== undefined;
		if (!had) return false;
		const { exitCode, stdout, stderr } = await this.#run("erase", server);
		if (exitCode !== 0) throw this.#failed("erase", server, exitCode, stdout, stderr);
		return true;
	}

	#run(action: string, input: string): Promise<Run> {
		return new Promise((resolve, reject) => {
			const child = spawn(this.program, [action], { stdio: ["pipe", "pipe", "pipe"] });
			const refuse = (problem: string, cause?: unknown): void => {
				child.kill("SIGKILL");
				reject(new LamellaError("ECONFIG", `${this.program} ${action} ${problem}`, { cause }));
			};
			const timer = setTimeout(
				() =>
					refuse(
						`gave no answer within ${this.#timeoutMs / 1000} s; run it by hand to see what it waits for`,
					),
				this.#timeoutMs,
			);
			let bytes = 0;
			const collect = (stream: NodeJS.ReadableStream): (() => string) => {
				const chunks: Buffer[] = [];
				stream.on("data", (chunk: Buffer) => {
					bytes += chunk.length;
					if (bytes > MAX_ANSWER_BYTES) refuse("answered more than a megabyte");
					else chunks.push(chunk);
				});
				return () => Buffer.concat(chunks).toString("utf8");
			};
			const stdout = collect(child.stdout);
			const stderr = collect(child.stderr);
			child.once("error", (error: NodeJS.ErrnoException) => {
				clearTimeout(timer);
				const missing = error.code === "ENOENT";
				refuse(
					missing
						? "cannot be run: no such program in PATH; install it, or take its name out of credsStore and credHelpers"
						: `cannot be run: ${error.message}`,
					error,
				);
			});
			child.once("close", (exitCode) => {
				clearTimeout(timer);
				resolve({ exitCode, stdout: stdout(), stderr: stderr() });
			});
			// One that does not read its input still answers.
			child.stdin.on("error", () => {});
			child.stdin.end(input);
		});
	}

	/** Helpers tell failures on stdout; what looks like an answer is not shown. */
	#failed(action: string, server: string, exitCode: number | null, stdout: string, stderr: string): Error {
		const said = [stderr, stdout]
			.map((text) => text.trim())
			.find((text) => text !== "" && !text.includes("{"));
		const [line = ""] = said?.split("\n") ?? [];
		return new LamellaError(
			"ECONFIG",
			`${this.program} ${action} failed for ${server} (exit code ${exitCode ?? "none: killed"})${line === "" ? "" : `: ${line.slice(0, 300)}`}`,
		);
	}
}
