import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({
	test: {
		reporters: ["default", "./test/support/summary-reporter.ts"],
		projects: [
			{ test: { name: "unit", include: ["src/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000 } },
			{
				test: {
					name: "e2e",
					include: ["test/e2e/**/*.test.ts"],
					// One file at a time: these start daemons and mount filesystems on a small machine.
					fileParallelism: false,
					testTimeout: 600_000,
					hookTimeout: 600_000,
				},
			},
		],
	},
});

export default config;
