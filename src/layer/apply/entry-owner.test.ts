import { expect, test } from "vitest";
import { OwnerMapper } from "./entry-owner.ts";

const ranges = [{ containerId: 0, hostId: 100_000, size: 65_536 }];
const maps = { uids: ranges, gids: ranges };
const toHost = new OwnerMapper(maps);
const toContainer = new OwnerMapper(maps, "to container");

/** cap_net_raw+ep for whoever is root; the form that has no root user of its own. */
const CAPABILITY = Buffer.from("0100000200200000000000000000000000000000", "hex");
/** u::rw-, u:1000:r--, g::r--, m::r--, o::r-- */
const ACL = Buffer.from(
	"0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000400ffffffff",
	"hex",
);

test("what is applied under an ID map is written again as it was", () => {
	for (const [name, value] of [
		["security.capability", CAPABILITY],
		["system.posix_acl_access", ACL],
		["user.any", CAPABILITY],
	] as const) {
		const onDisk = toHost.xattrValue(name, value);
		if (name !== "user.any") expect(onDisk).not.toEqual(value);
		expect(toContainer.xattrValue(name, onDisk)).toEqual(value);
	}
	expect(toContainer.uid(toHost.uid(7))).toBe(7);
	expect(toContainer.gid(toHost.gid(7))).toBe(7);
});

test("a capability of the host's own root stays what it is", () => {
	expect(toContainer.xattrValue("security.capability", CAPABILITY)).toEqual(CAPABILITY);
});
