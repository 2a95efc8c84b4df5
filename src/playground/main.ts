/** @file Starts the page. */

import { mount } from "svelte";
import "../web/style.css";
import Playground from "./Playground.svelte";

mount(Playground, { target: document.getElementById("app")! });
