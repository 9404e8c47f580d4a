/** A graph driver at the other end of the plugin protocol, as dockerd's proxy (daemon/graphdriver/proxy.go) speaks it. */
import { once } from "node:events";
import http from "node:http";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { CreateOptions, GraphDriver } from "../../src/graphdriver/index.ts";
import type { Change } from "../../src/layer/index.ts";

export interface Answer {
	readonly status: number;
	readonly body: Record<string, unknown>;
	readonly text: string;
}

const KINDS: readonly Change["kind"][] = ["C", "A", "D"];

export class PluginClient implements GraphDriver, Disposable {
	readonly #socket: string;
	readonly #agent: http.Agent;

	constructor(socket: string) {
		this.#socket = socket;
		this.#agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
	}

	[Symbol.dispose](): void {
		this.#agent.destroy();
	}

	/** One POST as dockerd sends it: an Accept header, no Content-Type, no body where there is nothing to say. */
	open(path: string, options: { method?: string; agent?: http.Agent } = {}): http.ClientRequest {
		return http.request({
			socketPath: this.#socket,
			path,
			method: options.method ?? "POST",
			agent: options.agent ?? this.#agent,
			headers: { Accept: "application/vnd.docker.plugins.v1.2+json" },
		});
	}

	async post(path: string, body?: string | Buffer, options: { method?: string } = {}): Promise<Answer> {
		const request = this.open(path, options);
		request.end(body);
		return read(request);
	}

	/** @throws what the plugin answered as Err */
	async call(method: string, body: object = {}): Promise<Record<string, unknown>> {
		const answer = await this.post(`/${method}`, JSON.stringify(body));
		return checked(answer);
	}

	init(home: string, options: readonly string[] = [], maps: object = {}): Promise<Record<string, unknown>> {
		return this.call("GraphDriver.Init", { Home: home, Opts: options, ...maps });
	}

	name(): string {
		return "lamella";
	}

	async status(): Promise<readonly (readonly [string, string])[]> {
		return (await this.call("GraphDriver.Status")).Status as [string, string][];
	}

	async create(id: string, parent: string, options: CreateOptions = {}): Promise<void> {
		await this.call("GraphDriver.Create", createBody(id, parent, options));
	}

	async createReadWrite(id: string, parent: string, options: CreateOptions = {}): Promise<void> {
		await this.call("GraphDriver.CreateReadWrite", createBody(id, parent, options));
	}

	async remove(id: string): Promise<void> {
		await this.call("GraphDriver.Remove", { ID: id });
	}

	async get(id: string, mountLabel = ""): Promise<string> {
		const body = mountLabel === "" ? { ID: id } : { ID: id, MountLabel: mountLabel };
		return (await this.call("GraphDriver.Get", body)).Dir as string;
	}

	async put(id: string): Promise<void> {
		await this.call("GraphDriver.Put", { ID: id });
	}

	async exists(id: string): Promise<boolean> {
		return (await this.call("GraphDriver.Exists", { ID: id })).Exists === true;
	}

	async metadata(id: string): Promise<Readonly<Record<string, string>>> {
		return (await this.call("GraphDriver.GetMetadata", { ID: id })).Metadata as Record<string, string>;
	}

	async cleanup(): Promise<void> {
		await this.call("GraphDriver.Cleanup");
	}

	async changes(id: string, parent: string): Promise<readonly Change[]> {
		const { Changes } = await this.call("GraphDriver.Changes", { ID: id, Parent: parent });
		return (Changes as { Path: string; Kind: number }[]).map(({ Path, Kind }) => ({
			path: Buffer.from(Path),
			kind: KINDS[Kind] ?? "C",
		}));
	}

	async diffSize(id: string, parent: string): Promise<number> {
		return (await this.call("GraphDriver.DiffSize", { ID: id, Parent: parent })).Size as number;
	}

	async diff(id: string, parent: string): Promise<Readable> {
		const request = this.open("/GraphDriver.Diff");
		request.end(JSON.stringify({ ID: id, Parent: parent }));
		const [response] = (await once(request, "response")) as [http.IncomingMessage];
		if (response.statusCode !== 200) throw errorOf(await collect(response));
		return response;
	}

	async applyDiff(id: string, parent: string, diff: Readable): Promise<number> {
		const request = this.open(`/GraphDriver.ApplyDiff?id=${id}&parent=${parent}`);
		const answer = read(request);
		try {
			await pipeline(diff, request);
		} catch (error) {
			// The plugin may answer before it has read all; what it says is what counts.
			answer.catch(() => undefined);
			request.destroy();
			throw error;
		}
		return checked(await answer).Size as number;
	}
}

function createBody(id: string, parent: string, options: CreateOptions): object {
	return {
		ID: id,
		...(parent === "" ? {} : { Parent: parent }),
		...(options.mountLabel === undefined ? {} : { MountLabel: options.mountLabel }),
		...(options.storageOpt === undefined ? {} : { StorageOpt: options.storageOpt }),
	};
}

async function read(request: http.ClientRequest): Promise<Answer> {
	const [response] = (await once(request, "response")) as [http.IncomingMessage];
	return collect(response);
}

async function collect(response: http.IncomingMessage): Promise<Answer> {
	let text = "";
	for await (const chunk of response.setEncoding("utf8")) text += chunk as string;
	let body: Record<string, unknown> = {};
	try {
		body = JSON.parse(text) as Record<string, unknown>;
	} catch {
		// Some tests look at answers that are no JSON.
	}
	return { status: response.statusCode ?? 0, body, text };
}

function checked(answer: Answer): Record<string, unknown> {
	if (answer.status !== 200 || answer.body.Err !== undefined) throw errorOf(answer);
	return answer.body;
}

function errorOf(answer: Answer): Error {
	const text = typeof answer.body.Err === "string" ? answer.body.Err : answer.text;
	const code = /\b(E[A-Z]+):/.exec(text)?.[1];
	return Object.assign(new Error(text), { code, status: answer.status });
}
